#!/bin/sh
# The first process of the simulated node: makes a node with SR-IOV out of the bare machine, runs the
# program given as arguments and powers off. The program's standard output, and at the end its exit status,
# go to the second serial port; all else goes to the console, where kernel messages come too.
#
# Environment, from the kernel command line: MODULES (directory for modprobe), PORT (that serial port), TIME_LIMIT_S.
# Module parameters (ib_core.netns_mode=0, rdma_sim.extra=8) are read from that line by modprobe itself.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 NO_COLOR=1

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec >/dev/console 2>&1
mkdir -p /dev/shm /dev/pts
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug
for directory in dev/shm run tmp; do mount -t tmpfs tmpfs "/$directory"; done
stty -F "$PORT" raw

# Nothing reaches the host: what is written below these directories is kept in memory.
modprobe --dirname "$MODULES" overlay
for directory in etc opt root var; do
  mkdir -p "/run/overlay/$directory/upper" "/run/overlay/$directory/work"
  mount -t overlay -o "lowerdir=/$directory,upperdir=/run/overlay/$directory/upper,workdir=/run/overlay/$directory/work" \
    overlay "/$directory"
done
mkdir -p /run/netns /etc/cni/net.d /opt/cni/bin /var/lib/cni
echo node-1 >/proc/sys/kernel/hostname

modprobe --dirname "$MODULES" --all configfs ib_core igb igbvf veth dummy
mount -t configfs configfs /sys/kernel/config
ip link set lo up

# A VF takes its administrative address when its driver binds, if the link of the PF is up by then.
pf=/sys/class/net/eth0/device
ip link set eth0 up
echo 0 >$pf/sriov_drivers_autoprobe
echo 7 >$pf/sriov_numvfs
echo 1 >$pf/sriov_drivers_autoprobe
for vf in 0 1 2 3 4 5 6; do ip link set eth0 vf $vf mac 02:03:00:00:48:5$vf; done
until [ "$(cat /sys/class/net/eth0/operstate)" = up ]; do sleep 0.1; done
for vf in 0 1 2 3 4 5 6; do basename "$(readlink $pf/virtfn$vf)" >/sys/bus/pci/drivers_probe; done

# When the VFs are there, so that the devices are numbered in order: PF, VFs, scalable functions. See rdma_sim.c.
modprobe --dirname "$MODULES" --all rdma_sim ib_uverbs rdma_ucm

status=0
timeout --signal=KILL "$TIME_LIMIT_S" "$@" >"$PORT" </dev/null || status=$?
echo "exit-status $status" >"$PORT"
# Not every machine that tests has poweroff. From here on no program can be started, so wait by reading.
echo o >/proc/sysrq-trigger
read -r _ <"$PORT"
