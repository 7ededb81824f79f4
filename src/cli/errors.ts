import { CniError } from "../cni/error.ts";
import { NetlinkError } from "../netlink/error.ts";
import { LibmnlMissing } from "../netlink/libmnl.ts";
import { EACCES, EPERM, EPROTONOSUPPORT, EROFS, SyscallError } from "../sys/errno.ts";

/** Exit codes, the same for all commands. */
export const ExitCode = {
  ok: 0,
  /** The command could not do it, what it checked is not so, or there are problems. */
  failed: 1,
  /** The command line cannot be understood, or what it names not be read; nothing was done. */
  usage: 2,
  /** Only a part could be done, or there are warnings but no problems. */
  partial: 3,
  /** What was asked for holds after a reboot only. */
  rebootNeeded: 4,
} as const;

export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** A failure that a person gets to read. */
export class CommandError extends Error {
  override readonly name = "CommandError";

  /**
   * @param message what failed, on what, the state found and wanted
   * @param advice what to do about it
   */
  constructor(
    message: string,
    readonly advice?: string,
    readonly exitCode: ExitCode = ExitCode.failed,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Adds what to do to what the kernel layer throws. Errors of any other kind stay as they are. */
export function toCommandError(error: unknown): unknown {
  if (isWithoutRdma(error)) {
    return new CommandError(
      "Cannot reach the RDMA subsystem: the kernel has none",
      `Load ib_core and the adapter's RDMA driver (modprobe -a ib_core mlx5_ib). ${(error as Error).message}`,
      undefined,
      { cause: error },
    );
  }
  if (error instanceof LibmnlMissing) {
    return withAdvice(error, "Install libmnl (package libmnl0 or libmnl) on this node.");
  }
  if (error instanceof NetlinkError && error.errno === EPERM) {
    return withAdvice(error, "This needs root with CAP_NET_ADMIN in the initial user namespace.");
  }
  if (error instanceof SyscallError && [EPERM, EACCES, EROFS].includes(error.errno)) {
    return withAdvice(error, "This needs root in the host's namespaces, and a /sys that can be written.");
  }
  if (error instanceof CniError) return withAdvice(error, error.details);
  return error;
}

/** The kernel has no RDMA subsystem: its netlink family is missing (net/netlink/af_netlink.c, netlink_create). */
export function isWithoutRdma(error: unknown): boolean {
  return error instanceof SyscallError && error.errno === EPROTONOSUPPORT;
}

function withAdvice(error: Error, advice: string | undefined): CommandError {
  return new CommandError(error.message, advice, undefined, { cause: error });
}
