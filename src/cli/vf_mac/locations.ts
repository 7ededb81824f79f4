/** Where the netdevs and RDMA devices are that the host namespace does not have. */
import { isRdmaMissing, type Netns } from "../../kernel/kernel.ts";
import type { LinkDetails, NodeKernel, OtherNetns, RdmaNode } from "../../kernel/node_kernel.ts";

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
  const { namespaces } = kernel.listOtherNetns((netns) => ({
    links: kernel.listLinks(netns),
    rdmaNodes: listRdmaNodes(kernel, netns).map((device) => {
      return { device, uverbs: netns.getUverbs(device.index) };
    }),
  }));
  const located = namespaces.map(({ facts, ...other }) => ({ ...facts, where: describe(other) }));
  return {
    links: located.flatMap(({ links = [], where }) => links.map((device) => ({ device, ...where }))),
    rdmaNodes: located.flatMap(({ rdmaNodes = [], where }) =>
      rdmaNodes.map((node) => ({ ...node, ...where }))
    ),
  };
}

/** The RDMA devices of a namespace; none when the kernel has no RDMA subsystem. */
export function listRdmaNodes(kernel: NodeKernel, netns: Netns): RdmaNode[] {
  try {
    return kernel.listRdmaNodes(netns);
  } catch (error) {
    if (isRdmaMissing(error)) return [];
    throw error;
  }
}

function describe({ inode, paths, processes }: OtherNetns): Omit<Location<never>, "device"> {
  const netns = paths[0] ?? `network namespace ${inode}`;
  const first = processes.find(({ onlyOpen }) => !onlyOpen) ?? processes[0];
  if (!first) return { netns };
  const container = first.containerId === undefined ? "" : `, container ${first.containerId.slice(0, 12)}`;
  return { netns, heldBy: `process ${first.pid} ${JSON.stringify(first.command.slice(0, 40))}${container}` };
}
