import type { LinkDetails, Netns, NodeKernel, OtherNetns, RdmaNode } from "../../kernel/kernel.ts";
import { openIfThere } from "../../plugin/namespaces.ts";
import { EPROTONOSUPPORT, SyscallError } from "../../sys/errno.ts";

/** Something and where it was found. */
export interface Located<T> {
  readonly found: T;
  /** The namespace's path, or its number in words. */
  readonly netns: string;
  /** A process that holds the namespace, and its container. */
  readonly heldBy?: string;
}

/** What other namespaces have, searched once for many functions. */
export class Whereabouts {
  readonly #links: Located<LinkDetails>[] = [];
  readonly #nodes: (Located<RdmaNode> & { readonly uverbs: string })[] = [];

  constructor(kernel: NodeKernel) {
    for (const other of kernel.listOtherNetns().namespaces) {
      using netns = open(kernel, other);
      if (!netns) continue;
      const where = describe(other);
      for (const found of kernel.listLinks(netns)) this.#links.push({ found, ...where });
      for (const found of listRdmaNodes(kernel, netns)) {
        this.#nodes.push({ found, ...where, uverbs: netns.getUverbs(found.index) ?? "" });
      }
    }
  }

  /** The netdev of a PCI function (kernel 5.14). */
  netdevOf(deviceId: string): Located<LinkDetails> | undefined {
    return this.#links.find(({ found }) => found.parentDevice === deviceId);
  }

  /** The RDMA devices that belong to some uverbs devices. */
  rdmaNodesOf(uverbs: readonly string[]): Located<RdmaNode>[] {
    return this.#nodes.filter((node) => uverbs.includes(node.uverbs));
  }
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

/** Opens a namespace by whatever leads to it. A process may end, or a path go, meanwhile. */
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

function describe({ inode, paths, processes }: OtherNetns): Omit<Located<never>, "found"> {
  const netns = paths[0] ?? `network namespace ${inode}`;
  const first = processes.find(({ onlyOpen }) => !onlyOpen) ?? processes[0];
  if (!first) return { netns };
  const container = first.containerId === undefined ? "" : `, container ${first.containerId.slice(0, 12)}`;
  return { netns, heldBy: `process ${first.pid} ${JSON.stringify(first.command.slice(0, 40))}${container}` };
}
