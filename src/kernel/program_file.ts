/** Files that are run by others while they are replaced. */
import { AT_FDCWD } from "../ffi/access.ts";
import { SyscallError } from "../ffi/errno.ts";
import { openForWriting } from "../ffi/fd.ts";
import { check, cString } from "../ffi/libc.ts";

/** uapi linux/fcntl.h and linux/fs.h. */
const RENAME_EXCHANGE = 2;

const ETXTBSY = 26;

/**
 * Exchanges the names of two files at once.
 *
 * @throws {SyscallError} EINVAL where the file system cannot
 */
export function exchangeNames(one: string, other: string): void {
  check(`exchange ${JSON.stringify(one)} and ${JSON.stringify(other)}`, (c) => {
    return c.renameat2(AT_FDCWD, cString(one), AT_FDCWD, cString(other), RENAME_EXCHANGE);
  });
}

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
