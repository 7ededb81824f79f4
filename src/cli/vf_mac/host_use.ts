import type { FunctionDevices, NodeKernel, RdmaNode, Representor } from "../../kernel/kernel.ts";
import { NetlinkError } from "../../netlink/error.ts";
import { EINVAL } from "../../sys/errno.ts";

/** What of a virtual function the host has, in its own namespace. */
export interface HostDevices extends FunctionDevices {
  readonly rdmaNodes: readonly RdmaNode[];
  /** What stands for the function on the side of the physical function, in switchdev mode. */
  readonly representor: Representor | undefined;
}

/**
 * What the host itself does with a virtual function, so that taking its driver away would hurt: traffic of its netdev
 * or of what is on top of that, programs with its RDMA device open, a vDPA device, or a representor that somebody has
 * connected. A netdev that is only switched on, without carrier and address, is not in use.
 *
 * @param addressed indexes of the host's links that have an IP address
 * @returns a clause for people, or undefined when the host does nothing with it
 */
export function describeHostUse(
  kernel: NodeKernel,
  { netdevs, rdmaNodes, vdpaDevices: [vdpa], representor }: HostDevices,
  addressed: ReadonlySet<number>,
): string | undefined {
  for (const { name, index, isUp, uppers } of netdevs) {
    const netdev = `its netdev ${JSON.stringify(name)}`;
    if (uppers.length > 0) return `${netdev} is below ${quoteAll(uppers)}`;
    if (addressed.has(index)) return `${netdev} has an IP address`;
    if (isUp) return `${netdev} is up and has a carrier`;
  }
  for (const { name, index } of rdmaNodes) {
    const count = countContexts(kernel, index);
    if (count > 0n) return `programs have its RDMA device ${JSON.stringify(name)} open (${count} contexts)`;
  }
  if (vdpa !== undefined) return `it has the vDPA device ${JSON.stringify(vdpa)}`;
  if (!representor || representor.uppers.length === 0) return undefined;
  return `its representor ${JSON.stringify(representor.name)} is in ${quoteAll(representor.uppers)}`;
}

/**
 * How often programs have an RDMA device open. What the kernel itself has on every device (queues for management
 * datagrams, listeners of servers) does not count, since it comes back after a bind.
 */
function countContexts(kernel: NodeKernel, index: number): bigint {
  try {
    return kernel.getHostNetns().listResources(index).find(({ kind }) => kind === "ctx")?.count ?? 0n;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === EINVAL) return 0n; // it has gone meanwhile
    throw error;
  }
}

function quoteAll(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(", ");
}
