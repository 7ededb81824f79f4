/** The namespace mode of the running kernel: changing it, and the network namespaces that prevent that. */
import { DecodeError, NetlinkError, type RdmaMode } from "../../kernel/kernel.ts";
import type { NetnsProcess, NodeKernel, OtherNetnsList } from "../../kernel/node_kernel.ts";
import { EBUSY, EINVAL, EOPNOTSUPP, quoteAll } from "../../sys/errno.ts";
import { CommandError } from "../errors.ts";

const COMMAND_LENGTH = 80;

/** The way out with a kernel without RDMA namespaces. */
export const NEWER_KERNEL =
  "install kernel 5.3 or newer, or the adapter's driver package (MLNX_OFED, DOCA), which has its own RDMA " +
  "subsystem; then reboot";

/** The result of a change. */
export interface Change {
  readonly state: "already" | "changed" | "refused";
  readonly before: RdmaMode;
  /** The namespaces that prevent it, when it is refused. */
  readonly others?: OtherNetnsList;
}

/**
 * Changes the mode if necessary.
 *
 * @param dryRun only predict what the kernel would do
 * @throws {SyscallError} EPROTONOSUPPORT without ib_core
 * @throws {CommandError} on a kernel without RDMA namespaces
 * @throws {NetlinkError} when the kernel refuses for another reason than existing namespaces
 */
export function changeMode(kernel: NodeKernel, mode: RdmaMode, dryRun: boolean): Change {
  const before = explainOldKernel(() => kernel.getRdmaMode());
  if (before === mode) return { state: "already", before };
  if (dryRun) return predict(kernel, before);
  try {
    explainOldKernel(() => kernel.setRdmaMode(mode));
    return { state: "changed", before };
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === EBUSY)) throw error;
    return { state: "refused", before, others: kernel.listOtherNetns() };
  }
}

/** Tells whether the kernel would change the mode now; undefined when not all processes could be examined. */
export function isChangeable({ namespaces, isComplete }: OtherNetnsList): boolean | undefined {
  if (namespaces.length > 0) return false;
  return isComplete ? true : undefined;
}

/** Lines for each namespace: one with its number and paths, then one for each process. */
export function listOthers({ namespaces, isComplete }: OtherNetnsList): string[] {
  const lines = namespaces.flatMap(({ inode, paths, processes }) => [
    `  network namespace ${inode} ${paths.length > 0 ? `at ${quoteAll(paths)}` : "without a path"}`,
    ...(processes.length > 0 ? processes.map(formatProcess) : ["    no process in it: its mount keeps it"]),
  ]);
  if (namespaces.length === 0) {
    lines.push("  none found in /proc: one may be ending right now, or only a socket keeps it alive");
  }
  if (!isComplete) {
    lines.push(
      "  there may be more: not all processes are visible from here " +
        "(run this as root, in the host's PID namespace)",
    );
  }
  return lines;
}

/**
 * Runs work on the namespace mode, and explains its error on kernels before 5.3. These reject the requests as
 * invalid (drivers/infiniband/core/netlink.c, rdma_nl_rcv_msg), or answer without the mode.
 *
 * @throws {CommandError} on such a kernel
 */
export function explainOldKernel<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const isOld = error instanceof DecodeError ||
      (error instanceof NetlinkError && [EINVAL, EOPNOTSUPP].includes(error.errno));
    if (!isOld) throw error;
    const advice = `The kernel has no RDMA namespace mode: ${NEWER_KERNEL}.`;
    throw new CommandError(error.message, advice, undefined, { cause: error });
  }
}

/** The kernel refuses while any other namespace exists (infiniband/core/device.c, rdma_compatdev_set). */
function predict(kernel: NodeKernel, before: RdmaMode): Change {
  const others = kernel.listOtherNetns();
  return others.namespaces.length > 0 ? { state: "refused", before, others } : { state: "changed", before };
}

function formatProcess({ pid, command, containerId, onlyOpen }: NetnsProcess): string {
  const short = command.length > COMMAND_LENGTH ? `${command.slice(0, COMMAND_LENGTH)}...` : command;
  const container = containerId === undefined ? "" : `, container ${containerId.slice(0, 12)}`;
  return `    process ${pid} ${JSON.stringify(short)}${container}${onlyOpen ? ", has it open" : ""}`;
}
