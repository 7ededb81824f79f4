/** Changes the mode of the running kernel. */
/** The network namespaces that keep the mode from being changed, in words. */
import type { NetnsProcess, NodeKernel, OtherNetnsList, RdmaMode } from "../../kernel/kernel.ts";
import { DecodeError, NetlinkError } from "../../netlink/error.ts";
import { EBUSY, EINVAL, EOPNOTSUPP } from "../../sys/errno.ts";
import { CommandError } from "../errors.ts";

/** How the running kernel took it. */
export interface Change {
  readonly state: "already" | "changed" | "refused";
  readonly before: RdmaMode;
  /** What stands in the way, when it is refused. */
  readonly others?: OtherNetnsList;
}

/**
 * Changes the mode, unless it is so already.
 *
 * @param dryRun only foretell what the kernel would say
 * @throws {SyscallError} EPROTONOSUPPORT without ib_core
 * @throws {CommandError} on a kernel that knows no modes
 * @throws {NetlinkError} when the kernel refuses for another reason than namespaces that exist
 */
export function changeMode(kernel: NodeKernel, mode: RdmaMode, dryRun: boolean): Change {
  const before = tellingOldKernel(() => kernel.getRdmaMode());
  if (before === mode) return { state: "already", before };
  if (dryRun) return foretell(kernel, before);
  try {
    tellingOldKernel(() => kernel.setRdmaMode(mode));
    return { state: "changed", before };
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === EBUSY)) throw error;
    return { state: "refused", before, others: kernel.listOtherNetns() };
  }
}

/** The kernel refuses while any other namespace exists (drivers/infiniband/core/device.c, rdma_compatdev_set). */
function foretell(kernel: NodeKernel, before: RdmaMode): Change {
  const others = kernel.listOtherNetns();
  return others.namespaces.length > 0 ? { state: "refused", before, others } : { state: "changed", before };
}

const COMMAND_LENGTH = 80;

/** Whether the kernel would change the mode now; undefined when not every process could be looked at. */
export function isChangeable({ namespaces, isComplete }: OtherNetnsList): boolean | undefined {
  if (namespaces.length > 0) return false;
  return isComplete ? true : undefined;
}

/** A paragraph for each namespace: number and paths, then a line for each process. */
export function formatOthers({ namespaces, isComplete }: OtherNetnsList): string {
  const lines = namespaces.flatMap(({ inode, paths, processes }) => [
    `  network namespace ${inode} ${
      paths.length > 0 ? `at ${paths.map(quoted).join(", ")}` : "without a path"
    }`,
    ...(processes.length > 0 ? processes.map(formatProcess) : ["    no process in it: its mount keeps it"]),
  ]);
  if (namespaces.length === 0) {
    lines.push("  none is found by way of /proc: one may be ending just now, or be kept by a socket alone");
  }
  if (!isComplete) {
    lines.push(
      "  there may be more: not all processes can be seen from here (run it as root, in the host's PID namespace)",
    );
  }
  return lines.join("\n");
}

function formatProcess({ pid, command, containerId, onlyOpen }: NetnsProcess): string {
  const short = command.length > COMMAND_LENGTH ? `${command.slice(0, COMMAND_LENGTH)}...` : command;
  const container = containerId === undefined ? "" : `, container ${containerId.slice(0, 12)}`;
  return `    process ${pid} ${quoted(short)}${container}${onlyOpen ? ", has it open" : ""}`;
}

/** Processes name themselves as they like; control characters must not reach a terminal. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

/** What to do about a kernel without RDMA namespaces. */
export const NEWER_KERNEL =
  "install kernel 5.3 or newer, or the adapter's driver package (MLNX_OFED, DOCA), which has its own RDMA subsystem; reboot";

/**
 * Does something about the namespace mode. Kernels before 5.3 do not know the requests and call them invalid
 * (drivers/infiniband/core/netlink.c, rdma_nl_rcv_msg), or answer without the mode.
 *
 * @throws {CommandError} that tells so, on such a kernel
 */
export function tellingOldKernel<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const isOld = error instanceof DecodeError ||
      (error instanceof NetlinkError && [EINVAL, EOPNOTSUPP].includes(error.errno));
    if (!isOld) throw error;
    const advice = `The kernel knows no RDMA namespace mode: ${NEWER_KERNEL}.`;
    throw new CommandError(error.message, advice, undefined, { cause: error });
  }
}
