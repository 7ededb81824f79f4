/** Files that others run. */
import { ETXTBSY, SyscallError } from "../ffi/errno.ts";
import { openForWriting } from "../ffi/fd.ts";

/**
 * Whether a process runs a program, in whatever container that is: the kernel lets nobody write to it then.
 *
 * @throws {SyscallError} when the file cannot be written to for another reason
 */
export function isRunning(path: string): boolean {
  try {
    openForWriting(path)[Symbol.dispose]();
    return false;
  } catch (error) {
    if (error instanceof SyscallError && error.errno === ETXTBSY) return true;
    throw error;
  }
}
