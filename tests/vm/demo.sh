#!/bin/sh
# What demo.ts shows, run on the simulated node. Argument: the compiled plugin. Exits with 0 only if it worked.
set -eu

heading() {
  printf '\n== %s\n' "$1"
}

# Shows a command, runs it and shows what it prints.
show() {
  printf '$ %s\n' "$1"
  sh -c "$1" 2>&1
}

# Writes what the runtime hands to the plugin. Arguments: a pod, and the keys of its network.
write_network() {
  cat >"$network" <<END
{ "cniVersion": "1.0.0", "name": "roce", "type": "rdma", $2,
  "prevResult": { "cniVersion": "1.0.0",
                  "interfaces": [{ "name": "net1", "sandbox": "/run/netns/$1" }] } }
END
}

# Shows and makes a call as a container runtime does, and what it prints: of its log the messages alone, and the result.
# Arguments: the command, and the pod.
call() {
  printf '$ CNI_COMMAND=%s CNI_NETNS=/run/netns/%s CNI_IFNAME=net1 ... /opt/cni/bin/rdma <%s\n' "$1" "$2" "$network"
  printed=$(CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/run/netns/$2 CNI_IFNAME=net1 CNI_PATH=/opt/cni/bin \
    /opt/cni/bin/rdma <"$network" 2>&1) && code=0 || code=$?
  printf '%s' "$printed" | sed -E 's/^time=.* msg="(.*)" containerID=.*/\1/'
  printf '\n'
  expect "the exit code of $1" "$code" 0
}

expect() {
  [ "$2" = "$3" ] && return
  printf '\nThe demo failed: %s is "%s", want "%s"\n' "$1" "$2" "$3"
  exit 1
}

cp "$1" /opt/cni/bin/rdma
cd /tmp
vf=$(basename "$(readlink /sys/class/net/eth0/device/virtfn0)")
device=$(ls "/sys/bus/pci/devices/$vf/infiniband")
netdev=$(ls "/sys/bus/pci/devices/$vf/net")
network=network.json
on_host() { ls /sys/class/infiniband | grep -cx "$device" || true; }
in_pod() { ip netns exec pod rdma link | grep -c "$device/" || true; }

heading "A node with Linux $(uname -r): VF $vf has interface $netdev and RDMA device $device"
show "rdma link | grep $device/"

heading "A pod: sriov, the plugin before ours in the chain, moves the interface into it"
show "ip netns add pod && ip link set $netdev netns pod name net1"
show "ip netns exec pod rdma link"
expect "the number of RDMA devices in the pod" "$(ip netns exec pod rdma link | wc -l)" 0

heading "ADD moves $device into the pod, and CHECK finds it there"
write_network pod "\"deviceID\": \"$vf\""
show "cat $network"
call ADD pod
show "ip netns exec pod rdma link"
expect "$device on the host" "$(on_host)" 0
expect "$device in the pod" "$(in_pod)" 1
call CHECK pod

heading "DEL returns $device to the host"
call DEL pod
show "rdma link | grep $device/"
expect "$device on the host" "$(on_host)" 1
expect "$device in the pod" "$(in_pod)" 0
expect "the number of records" "$(ls /var/lib/cni/rdma | wc -l)" 0

printf '\nThe RDMA device went into the pod and returned to the host.\n'

# Older kernels cannot move a Soft-RoCE device.
if ! printf '7.3\n%s\n' "$(uname -r)" | sort --check=silent --version-sort; then
  printf 'RDMA packets between two pods, without an adapter, need Linux 7.3: demo.ts --kernel 7.3 shows them.\n'
  exit
fi

soft='"softRoCE": true, "rdmaDeviceName": "roce0"'
ping_pong="ibv_rc_pingpong -d roce0 -g 1 -n 50"
modprobe --dirname "$MODULES" rdma_rxe # other nodes' kernels load it on demand

heading "Packets: two more pods, joined by a veth pair and without an adapter"
show "ip netns add one && ip netns add two"
show "ip link add net1 netns one type veth peer name net1 netns two"
show "ip -n one address add 10.9.0.1/24 dev net1 && ip -n one link set net1 up"
show "ip -n two address add 10.9.0.2/24 dev net1 && ip -n two link set net1 up"

heading "ADD: each pod gets a Soft-RoCE device on its interface, and both are called roce0"
for pod in one two; do
  write_network $pod "$soft"
  [ $pod = two ] || show "cat $network"
  call ADD $pod
  show "ip netns exec $pod rdma link"
done

heading "50 RDMA messages from pod to pod, and back"
printf '$ %s &\n' "ip netns exec one $ping_pong"
ip netns exec one timeout 30 $ping_pong >/dev/null 2>&1 &
timeout 20 sh -c 'until ip netns exec one ss -Hltn sport = :18515 | grep -q .; do sleep 0.1; done' ||
  expect "the server" "not listening" listening
show "ip netns exec two timeout 30 $ping_pong 10.9.0.1"

heading "DEL: the devices are gone, and so is RDMA"
for pod in one two; do
  write_network $pod "$soft"
  call DEL $pod
done
printf '$ %s\n' "ip netns exec two $ping_pong 10.9.0.1"
ip netns exec two $ping_pong 10.9.0.1 2>&1 && code=0 || code=$?
expect "the exit code of a program that uses RDMA after DEL" "$code" 1

printf '\nRDMA packets went from pod to pod after ADD, and none after DEL.\n'
