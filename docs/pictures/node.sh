#!/bin/sh
# Prints screens on the simulated node, each after a line "@@ NAME COLUMNS". Argument: the compiled plugin.
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

# Makes a pod with a VF and calls ADD for it. Arguments: namespace/name of the pod, number of the VF, address.
add_pod() {
  name=${1#*/}
  ip netns add "$name"
  ip link set "$(ls "$pf/virtfn$2/net")" netns "$name" name net1
  ip -n "$name" address add "$3/24" dev net1
  ip -n "$name" link set net1 up
  keys="\"deviceID\": \"$(vf_address "$2")\", \"rdmaDeviceName\": \"mlx5_0\""
  result='"cniVersion": "1.0.0", "interfaces": [{ "name": "net1", "sandbox": "/run/netns/'$name'" }]'
  echo '{ "cniVersion": "1.0.0", "name": "roce", "type": "rdma", '"$keys"', "prevResult": { '"$result"' } }' |
    CNI_COMMAND=ADD CNI_CONTAINERID=$(printf '%s' "$1" | sha256sum | cut -c1-12) CNI_NETNS=/run/netns/$name \
      CNI_IFNAME=net1 CNI_PATH=/opt/cni/bin \
      CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=${1%/*};K8S_POD_NAME=$name" /opt/cni/bin/rdma >&2
}

# What is often wrong on a node: a VF without an address, one without a driver, a network with its plugins in the wrong
# order, and a pod that went without a DEL.
ip link set eth0 vf 1 mac 00:00:00:00:00:00
vf_address 1 >/sys/bus/pci/drivers/igbvf/unbind
vf_address 1 >/sys/bus/pci/drivers_probe
screen vf-mac 80 "rdma-cni vf-mac list"
vf_address 6 >/sys/bus/pci/drivers/igbvf/unbind
echo '{ "cniVersion": "1.0.0", "name": "roce", "plugins": [{ "type": "rdma" }, { "type": "sriov" }] }' \
  >/etc/cni/net.d/net.conflist

add_pod team-a/trainer-0 0 10.0.0.2
add_pod team-a/trainer-1 2 10.0.0.3
add_pod team-a/gone-0 3 10.0.0.4
ip netns del gone-0
sleep 3 # its device is back on the host
screen doctor 80 "rdma-cni doctor"
screen pods 80 "rdma-cni pods"
