/** Directory of what the host side prepared, and the compiled plugin: the first two arguments. */
const [NODE_DIRECTORY, EXECUTABLE] = Deno.args;

/** The compiled plugin as the build left it. */
export const COMPILED_PLUGIN = `${EXECUTABLE}`;
export const PROJECT = `${EXECUTABLE}`.replace(/\/dist\/[^/]+$/, "");
/** The project's examples. */
export const EXAMPLES = `${PROJECT}/examples`;
/** The project's systemd units. */
export const DEPLOYMENT = `${PROJECT}/deployment/systemd`;
/** What kubelet says to a runtime. */
export const CRI_PROTO = `${PROJECT}/tests/rig/vm/guest/cri/runtime.proto`;
/** Where a node has it. */
export const INSTALLED_PLUGIN = "/opt/cni/bin/rdma";
/** Where a runtime looks for plugins: ours, and those of Debian. */
export const CNI_PATH = "/opt/cni/bin:/usr/lib/cni";
/** Nodes of all kernels of an architecture share these three. */
export const LIBCNI_RUN = `${NODE_DIRECTORY}/../${Deno.build.arch}/libcni-run`;
/** What "install" installs as the plugin. */
export const LAUNCHER = `${NODE_DIRECTORY}/../${Deno.build.arch}/launcher`;
export const HOLD_CONTEXT = `${NODE_DIRECTORY}/../${Deno.build.arch}/hold_context`;
/** Starts a program in a mount namespace of its own, in which libmnl is an empty file. */
export const WITHOUT_LIBMNL = [
  "unshare",
  "--mount",
  "sh",
  "-c",
  'for file in $(ls /lib/*/libmnl.so.0 /usr/lib/*/libmnl.so.0 | xargs -n1 readlink -f | sort -u); do mount --bind /dev/null $file; done; exec "$0" "$@"',
];
