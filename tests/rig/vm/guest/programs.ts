/** Directory of what the host side prepared, and the compiled plugin: the first two arguments. */
const [NODE_DIRECTORY, EXECUTABLE] = Deno.args;

export const COMPILED_PLUGIN = `${EXECUTABLE}`;
export const PROJECT = `${EXECUTABLE}`.replace(/\/dist\/[^/]+$/, "");
export const EXAMPLES = `${PROJECT}/examples`;
export const DEPLOYMENT = `${PROJECT}/deployment/systemd`;
/** Where a node has it. */
export const INSTALLED_PLUGIN = "/opt/cni/bin/rdma";
/** Where a runtime looks for plugins: ours, and those of Debian. */
export const CNI_PATH = "/opt/cni/bin:/usr/lib/cni";
/** Nodes of all kernels of an architecture share these three. */
export const LIBCNI_RUN = `${NODE_DIRECTORY}/../${Deno.build.arch}/libcni-run`;
/** What "install" installs as the plugin. */
export const LAUNCHER = `${NODE_DIRECTORY}/../${Deno.build.arch}/launcher`;
export const HOLD_CONTEXT = `${PROJECT}/tests/rig/vm/guest/hold_context`;
/** Starts a program in a mount namespace of its own, in which libmnl is an empty file. */
export const WITHOUT_LIBMNL = [
  ...["unshare", "--mount", "sh", "-c"],
  'for file in $(ls /lib/*/libmnl.so.0 /usr/lib/*/libmnl.so.0 | xargs -n1 readlink -f | sort -u); do mount --bind /dev/null $file; done; exec "$0" "$@"',
];
/**
 * Starts a plugin as thick Multus does from 4.1.0 on: in a container that has the host's root at /hostroot, after a
 * chroot to that alone, so that the working directory stays in the container. 155 is pivot_root, which perl lacks.
 */
export const AS_THICK_MULTUS = [
  ...["unshare", "--mount", "sh", "-c"],
  `mkdir -p /run/container && mount -t tmpfs container /run/container && mkdir /run/container/hostroot &&
   cd /run/container && exec perl -e 'syscall(155, my $new = ".", my $old = "hostroot") == 0 or die $!;
     chdir "/"; chroot "/hostroot" or die $!; exec @ARGV; die $!' "$@"`,
  "sh",
];
