/** The failures of commands. */
import type { CommanderError } from "@commander-js/extra-typings";
import { CniError } from "../cni/error.ts";
import { isRdmaMissing, LibmnlMissing, NetlinkError } from "../kernel/kernel.ts";
import { EACCES, EPERM, EROFS, SyscallError } from "../sys/errno.ts";

/** Exit codes, the same for all commands. */
export const ExitCode = {
  ok: 0,
  /** The command failed, what it checked does not hold, or there are problems. */
  failed: 1,
  /** The command line is wrong, or what it names cannot be read; nothing was done. */
  usage: 2,
  /** Only a part was done, or there are warnings but no problems. */
  partial: 3,
  /** A reboot is needed. */
  rebootNeeded: 4,
} as const;

export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** A failure for people to read. */
export class CommandError extends Error {
  override readonly name = "CommandError";

  /**
   * @param message what failed, on what, the current and the wanted state
   * @param advice the way out
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

/** Adds advice to errors of the kernel and the plugin. Returns other errors as they are. */
export function toCommandError(error: unknown): unknown {
  if (isRdmaMissing(error)) {
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
    return withAdvice(error, "This needs root in the host's namespaces, and a writable /sys.");
  }
  if (error instanceof CniError) return withAdvice(error, error.details);
  return error;
}

/**
 * Makes an error of a wrong command line.
 *
 * @param error its text is `error: ` and what is wrong; a line in parentheses may follow that suggests something
 * @param command the words of the command whose help says what is right
 */
export function toUsageError({ message }: CommanderError, command: readonly string[]): CommandError {
  const [fault = "", suggestion] = message.replace(/^error: /, "").split("\n");
  const help = `See "${[...command, "--help"].join(" ")}".`;
  const advice = suggestion === undefined ? help : `${suggestion.slice(1, -1)} ${help}`;
  return new CommandError(fault, advice, ExitCode.usage);
}

function withAdvice(error: Error, advice: string | undefined): CommandError {
  return new CommandError(error.message, advice, undefined, { cause: error });
}
