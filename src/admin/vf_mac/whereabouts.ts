/** Where the netdevs and RDMA devices of functions are that the host's namespace does not have. */
import { EPROTONOSUPPORT, SyscallError } from "../../kernel/error.ts";
import type { Netns } from "../../kernel/kernel.ts";
import type { LinkDetails, RdmaNode, VfKernel } from "../../kernel/vf_kernel.ts";
import { openIfThere } from "../../plugin/recorded_netns.ts";

/** Something and the path of the namespace that it was found in. */
export interface Located<T> {
  readonly found: T;
  readonly netns: string;
}

/** What other namespaces have, searched once for many functions. */
export class Whereabouts {
  readonly #links: Located<LinkDetails>[] = [];
  readonly #nodes: (Located<RdmaNode> & { readonly uverbs: string })[] = [];

  constructor(kernel: VfKernel) {
    for (using netns of otherNetns(kernel)) {
      for (const found of kernel.listLinksIn(netns)) this.#links.push({ found, netns: netns.path });
      for (const found of listRdmaNodes(kernel, netns)) {
        const uverbs = netns.getUverbs(found.index) ?? "";
        this.#nodes.push({ found, netns: netns.path, uverbs });
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
export function listRdmaNodes(kernel: VfKernel, netns: Netns): RdmaNode[] {
  try {
    return kernel.listRdmaNodes(netns);
  } catch (error) {
    if (error instanceof SyscallError && error.errno === EPROTONOSUPPORT) return [];
    throw error;
  }
}

/** All namespaces but the host's, each once, those with a name first. */
function* otherNetns(kernel: VfKernel): Generator<Netns> {
  const seen = new Set([kernel.hostNetns.inode]);
  const paths = function* () {
    yield* kernel.listNamedNetns();
    for (const { path, inode } of kernel.listNetns()) if (!seen.has(inode)) yield path;
  };
  for (const path of paths()) {
    const netns = openIfThere(kernel, path);
    if (netns && !seen.has(netns.inode)) {
      seen.add(netns.inode);
      yield netns;
    } else netns?.[Symbol.dispose]();
  }
}
