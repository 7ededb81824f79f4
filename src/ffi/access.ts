/** Whether paths lead to something, asked without opening it. */
import { ENOENT } from "./errno.ts";
import { attempt, check, cString } from "./libc.ts";

/** Instead of a folder: a relative path begins where the process is (uapi linux/fcntl.h). */
const AT_FDCWD = -100;
// The same header, and unistd.h.
const AT_SYMLINK_NOFOLLOW = 0x100;
const F_OK = 0;
const W_OK = 2;

/**
 * Whether there is certainly nothing at a path, not even a link that leads nowhere, told without an error. Where it
 * cannot tell it says no; whoever opens the path learns more.
 */
export function isAbsent(path: string): boolean {
  // C would take what stands before the NUL for the path.
  if (path.includes("\0")) return false;
  return attempt((c) => c.faccessat(AT_FDCWD, cString(path), F_OK, AT_SYMLINK_NOFOLLOW)) === -ENOENT;
}

/** @throws {SyscallError} when this process may not write to what is at a path: EROFS, EACCES */
export function assertWritable(path: string): void {
  check(`write to ${JSON.stringify(path)}`, (c) => c.faccessat(AT_FDCWD, cString(path), W_OK, 0));
}
