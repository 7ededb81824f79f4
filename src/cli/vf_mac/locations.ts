/** Where the netdevs and RDMA devices are that the host namespace does not have. */
import type { Netns } from "../../kernel/kernel.ts";
import type { LinkDetails, NodeKernel, OtherNetns, RdmaNode } from "../../kernel/node_kernel.ts";
import { openIfThere } from "../../plugin/namespaces.ts";
import { EPROTONOSUPPORT, SyscallError } from "../../sys/errno.ts";

/** A device, and where it is. */
export interface Location<T> {
  readonly device: T;
  /** The path of the namespace, or its number in words. */
  readonly netns: string;
  /** A process that holds the namespace, and its container. */
  readonly heldBy?: string;
}

/** The devices of all namespaces but the host's. */
export interface DeviceLocations {
  readonly links: readonly Location<LinkDetails>[];
  readonly rdmaNodes: readonly (Location<RdmaNode> & { readonly uverbs: string | undefined })[];
}

/** Searches all namespaces but the host's. */
export function locateDevices(kernel: NodeKernel): DeviceLocations {
  const links: DeviceLocations["links"][number][] = [];
  const rdmaNodes: DeviceLocations["rdmaNodes"][number][] = [];
  for (const other of kernel.listOtherNetns().namespaces) {
    using netns = open(kernel, other);
    if (!netns) continue;
    const where = describe(other);
    for (const device of kernel.listLinks(netns)) links.push({ device, ...where });
    for (const device of listRdmaNodes(kernel, netns)) {
      rdmaNodes.push({ device, ...where, uverbs: netns.getUverbs(device.index) });
    }
  }
  return { links, rdmaNodes };
}

/** The RDMA devices of a namespace; none when the kernel has no RDMA subsystem. */
export function listRdmaNodes(kernel: NodeKernel, netns: Netns): RdmaNode[] {
  try {
    return kernel.listRdmaNodes(netns);
  } catch (error) {
    if (error instanceof SyscallError && error.errno === EPROTONOSUPPORT) return [];
    throw error;
  }
}

/** Opens a namespace by whatever leads to it. Meanwhile a process may end, or a path be removed. */
function open(kernel: NodeKernel, { inode, paths, processes }: OtherNetns): Netns | undefined {
  const inside = processes.filter(({ onlyOpen }) => !onlyOpen).map(({ pid }) => `/proc/${pid}/ns/net`);
  const held = function* () {
    for (const other of kernel.listNetns()) if (other.inode === inode) yield other.path;
  };
  for (const path of [...paths, ...inside, ...held()]) {
    const netns = openIfThere(kernel, path);
    if (netns?.inode === inode) return netns;
    netns?.[Symbol.dispose]();
  }
  return undefined;
}

function describe({ inode, paths, processes }: OtherNetns): Omit<Location<never>, "device"> {
  const netns = paths[0] ?? `network namespace ${inode}`;
  const first = processes.find(({ onlyOpen }) => !onlyOpen) ?? processes[0];
  if (!first) return { netns };
  const container = first.containerId === undefined ? "" : `, container ${first.containerId.slice(0, 12)}`;
  return { netns, heldBy: `process ${first.pid} ${JSON.stringify(first.command.slice(0, 40))}${container}` };
}
