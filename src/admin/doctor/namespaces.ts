import type { AdminKernel, NetnsProcess } from "../../kernel/admin_kernel.ts";
import type { RdmaDevice } from "../../kernel/kernel.ts";
import { openIfThere } from "../../plugin/recorded_netns.ts";

/** A network namespace other than the host's, and what it has. */
export interface Namespace {
  readonly path: string;
  readonly inode: number;
  readonly cookie?: string;
  readonly devices: readonly RdmaDevice[];
  /** Those in it, or with a file open that leads to it. */
  readonly processes: readonly NetnsProcess[];
}

/** All network namespaces but the host's that a mount, a process or an open file leads to, each once. */
export function listNamespaces(kernel: AdminKernel): Namespace[] {
  const others = kernel.listOtherNetns().namespaces;
  const mounts = others.flatMap(({ inode, paths: [path] }) => path === undefined ? [] : [{ inode, path }]);
  const found = new Map<number, Namespace>();
  for (const { inode, path } of [...mounts, ...kernel.listNetns()]) {
    if (inode === kernel.hostNetns.inode || found.has(inode)) continue;
    using netns = openIfThere(kernel, path);
    if (!netns) continue; // it has ended meanwhile
    const cookie = netns.getCookie();
    const { processes = [] } = others.find((other) => other.inode === inode) ?? {};
    const devices = netns.listRdmaDevices();
    found.set(inode, { path, inode, ...(cookie === undefined ? {} : { cookie }), devices, processes });
  }
  return [...found.values()];
}
