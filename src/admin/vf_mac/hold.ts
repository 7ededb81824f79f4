import { CniError } from "../../cni/error.ts";
import { EPERM, NetlinkError, SyscallError } from "../../kernel/error.ts";
import { takeLock } from "../../plugin/lock.ts";
import { CommandError } from "../error.ts";
import type { VfNode } from "./find.ts";

/** An errno that Deno's own calls give where ours give EPERM. */
const EACCES = 13;

/**
 * Takes the lock that the plugin holds while it moves devices, so that neither sees the other's work half done.
 *
 * @throws {CommandError} when a call of the plugin has it for 30 seconds, or the folder cannot be made
 */
export function lockPlugin({ kernel, state }: VfNode): Disposable {
  try {
    state.create();
    return takeLock(kernel, state.folder);
  } catch (error) {
    if (error instanceof CniError) {
      throw new CommandError(error.message, error.details, undefined, { cause: error });
    }
    throw error;
  }
}

/** A failure as people read it. Errors that are for nobody to mend stay as they are. */
export function toCommandError(error: unknown): unknown {
  const isRefusal = error instanceof NetlinkError || error instanceof SyscallError;
  if (!isRefusal) return error;
  const advice = error.errno === EPERM || error.errno === EACCES
    ? "run it as root, in the host's namespaces, with CAP_NET_ADMIN and a writable /sys"
    : "see the kernel log";
  return new CommandError(error.message, advice, undefined, { cause: error });
}
