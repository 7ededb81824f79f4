#!/bin/busybox sh
# The first process of all: mounts the host's files as root and becomes the node's first process.
# Environment, from the kernel command line: INIT (its path).
set -eu
for module in /modules/*.ko; do
  [ -e "$module" ] && busybox insmod "$module"
done
busybox mount -t virtiofs -o ro root /root
exec busybox switch_root /root "$INIT" "$@"
