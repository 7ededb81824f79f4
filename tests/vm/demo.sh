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

# Shows and makes a call as a container runtime does.
call() {
  printf '$ CNI_COMMAND=%s CNI_NETNS=/run/netns/pod CNI_IFNAME=net1 ... /opt/cni/bin/rdma <network.json\n' "$1"
  CNI_COMMAND=$1 CNI_CONTAINERID=demo CNI_NETNS=/run/netns/pod CNI_IFNAME=net1 CNI_PATH=/opt/cni/bin \
    /opt/cni/bin/rdma <"$network" 2>&1 && code=0 || code=$?
  printf '\n[exit code %s]\n' "$code"
  expect "the exit code of $1" "$code" 0
}

expect() {
  [ "$2" = "$3" ] && return
  printf '\nThe demo failed: %s is "%s", want "%s"\n' "$1" "$2" "$3"
  exit 1
}

cp "$1" /opt/cni/bin/rdma
vf=$(basename "$(readlink /sys/class/net/eth0/device/virtfn0)")
device=$(ls "/sys/bus/pci/devices/$vf/infiniband")
netdev=$(ls "/sys/bus/pci/devices/$vf/net")
network=/tmp/network.json
cat >"$network" <<END
{
  "cniVersion": "1.0.0", "name": "roce", "type": "rdma", "deviceID": "$vf",
  "prevResult": {
    "cniVersion": "1.0.0",
    "interfaces": [{ "name": "net1", "sandbox": "/run/netns/pod" }]
  }
}
END
on_host() { ls /sys/class/infiniband | grep -cx "$device" || true; }
in_pod() { ip netns exec pod rdma dev | grep -c "$device" || true; }

heading "A node: one network adapter with 7 virtual functions, each with an RDMA device"
show "uname -sr"
show "rdma system"
show "rdma dev"

heading "A pod: a network namespace without any RDMA device"
show "ip netns add pod"
show "ip netns exec pod rdma dev"

heading "The plugin before ours in the chain (sriov) has moved the network interface"
show "ip link set $netdev netns pod name net1"

heading "The network of the pod, as the runtime hands it to the plugin: the device plugin chose $vf, which has $device"
show "cat $network"

heading "ADD: $device moves into the pod"
call ADD
show "rdma dev | grep $device || echo '($device is not on the host any more)'"
show "ip netns exec pod rdma dev"
expect "$device on the host" "$(on_host)" 0
expect "$device in the pod" "$(in_pod)" 1
show "cat /var/lib/cni/rdma/roce-demo-net1; echo"

heading "CHECK: all is as ADD left it"
call CHECK

heading "DEL: $device returns to the host"
call DEL
show "rdma dev | grep $device"
show "ip netns exec pod rdma dev"
expect "$device on the host" "$(on_host)" 1
expect "$device in the pod" "$(in_pod)" 0
expect "the number of records" "$(ls /var/lib/cni/rdma | wc -l)" 0

printf '\nThe RDMA device went into the pod and returned to the host.\n'
