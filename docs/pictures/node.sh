#!/bin/sh
# What record.ts runs on the simulated node: it prints screens, each after a line "@@ NAME COLUMNS", then metrics, each
# reading after a line "@@ metrics". Argument: the compiled plugin.
set -eu

mkdir /run/bin
ln -s /opt/cni/bin/rdma /run/bin/rdma-cni
export PATH="/run/bin:$PATH"
"$1" install --cni-bin-dir /opt/cni/bin >/dev/null
pf=/sys/class/net/eth0/device
vf_address() { basename "$(readlink "$pf/virtfn$1")"; }

# Shows what a command prints on a terminal. Arguments: name of the screen, columns, the command.
screen() {
  printf '@@ %s %s\n' "$1" "$2"
  printf '# %s\r\n' "$3"
  env -u NO_COLOR TERM=xterm-256color script -qec "stty cols $2; $3" /dev/null </dev/null || true
}

# Makes a pod and calls ADD for it. Arguments: namespace/name of the pod, keys of its network.
add_pod() {
  name=${1#*/}
  result='"cniVersion": "1.0.0", "interfaces": [{ "name": "net1", "sandbox": "/run/netns/'$name'" }]'
  echo '{ "cniVersion": "1.0.0", "name": "roce", "type": "rdma", '"$2"', "prevResult": { '"$result"' } }' |
    CNI_COMMAND=ADD CNI_CONTAINERID=$(printf '%s' "$1" | sha256sum | cut -c1-12) CNI_NETNS=/run/netns/$name \
      CNI_IFNAME=net1 CNI_PATH=/opt/cni/bin \
      CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=${1%/*};K8S_POD_NAME=$name" /opt/cni/bin/rdma >&2
}

# Makes a pod with a VF. Arguments: namespace/name of the pod, number of the VF, address.
add_vf_pod() {
  ip netns add "${1#*/}"
  ip link set "$(ls "$pf/virtfn$2/net")" netns "${1#*/}" name net1
  ip -n "${1#*/}" address add "$3/24" dev net1
  ip -n "${1#*/}" link set net1 up
  add_pod "$1" "\"deviceID\": \"$(vf_address "$2")\", \"rdmaDeviceName\": \"mlx5_0\""
}

# What is often wrong on a node: a VF without an address, one without a driver, a network with its plugins in the wrong
# order, and a pod that went without a DEL.
ip link set eth0 vf 1 mac 00:00:00:00:00:00
vf_address 1 >/sys/bus/pci/drivers/igbvf/unbind
vf_address 1 >/sys/bus/pci/drivers_probe
vf_address 6 >/sys/bus/pci/drivers/igbvf/unbind
echo '{ "cniVersion": "1.0.0", "name": "roce", "plugins": [{ "type": "rdma" }, { "type": "sriov" }] }' \
  >/etc/cni/net.d/10-roce.conflist
screen vf-mac 132 "rdma-cni vf-mac list"

add_vf_pod team-a/trainer-0 0 10.56.217.2
add_vf_pod team-a/trainer-1 2 10.56.217.3
add_vf_pod team-a/gone-0 3 10.56.217.4
ip netns del gone-0
sleep 3 # its device is back on the host
screen doctor 116 "rdma-cni doctor"
screen pods 130 "rdma-cni pods"

# The VFs' simulated devices transfer nothing. Two more pods have Soft-RoCE devices.
rdma-cni gc >&2
modprobe --dirname "$MODULES" --all rdma_rxe sch_netem
ip netns add worker-0
ip netns add worker-1
ip link add net1 netns worker-0 type veth peer name net1 netns worker-1
for number in 0 1; do
  ip -n worker-$number address add 10.9.0.$number/31 dev net1
  ip -n worker-$number link set net1 up
done
for number in 0 1; do
  add_pod team-b/worker-$number '"softRoCE": true, "rdmaDeviceName": "roce0"'
done

# Sends RDMA messages for 25 seconds, again and again. Arguments: a port, and the size of the messages.
send_messages() {
  ping_pong="timeout 25 ibv_rc_pingpong -d roce0 -g 1 -n 1000000 -p $1 -s $2"
  while true; do
    ip netns exec worker-0 $ping_pong &
    until ip netns exec worker-0 ss -Hltn "sport = :$1" | grep -q .; do sleep 0.2; done
    ip netns exec worker-1 $ping_pong 10.9.0.0 || true
    wait $! || true
    sleep 5
  done >/dev/null 2>&1
}

send_messages 18515 4096 &
(sleep 60 && send_messages 18516 65536) &
(sleep 150 && ip netns exec worker-1 tc qdisc add dev net1 root netem loss 1%) &
end=$(($(date +%s) + 240))
while [ "$(date +%s)" -lt $end ]; do
  echo "@@ metrics"
  rdma-cni pods -o prometheus
done
