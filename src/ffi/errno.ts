/** Errno values by number (uapi asm-generic/errno-base.h and errno.h): those this program can meet. */
const ERRNO: Readonly<Record<number, readonly [name: string, text: string]>> = {
  1: ["EPERM", "operation not permitted"],
  2: ["ENOENT", "no such file or directory"],
  3: ["ESRCH", "no such process"],
  4: ["EINTR", "interrupted"],
  5: ["EIO", "input/output error"],
  6: ["ENXIO", "no such device, or a pipe that nobody reads"],
  9: ["EBADF", "bad file descriptor"],
  11: ["EAGAIN", "no answer in time, or held by another process"],
  12: ["ENOMEM", "out of memory"],
  13: ["EACCES", "permission denied"],
  16: ["EBUSY", "device or resource busy"],
  17: ["EEXIST", "exists already"],
  19: ["ENODEV", "no such device"],
  20: ["ENOTDIR", "not a directory"],
  22: ["EINVAL", "invalid argument"],
  23: ["ENFILE", "too many open files in the system"],
  24: ["EMFILE", "too many open files"],
  25: ["ENOTTY", "operation not fitting the file"],
  26: ["ETXTBSY", "a process runs it"],
  28: ["ENOSPC", "no space left on device"],
  30: ["EROFS", "read-only file system"],
  34: ["ERANGE", "out of range"],
  36: ["ENAMETOOLONG", "name too long"],
  40: ["ELOOP", "symbolic link not followed"],
  90: ["EMSGSIZE", "message too long"],
  93: ["EPROTONOSUPPORT", "protocol not supported"],
  95: ["EOPNOTSUPP", "operation not supported"],
  105: ["ENOBUFS", "no buffer space"],
  110: ["ETIMEDOUT", "timed out"],
};

export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EINVAL = 22;
export const EMSGSIZE = 90;

/** An errno in words: `EINVAL (22), invalid argument`. */
export function formatErrno(errno: number): string {
  const known = ERRNO[errno];
  return known ? `${known[0]} (${errno}), ${known[1]}` : `errno ${errno}`;
}

/** A system call that failed; what the kernel says in a netlink *reply* is another class. */
export class SyscallError extends Error {
  override readonly name = "SyscallError";

  /** @param call the call as one would write it, its argument quoted where it helps: `open("/run/netns/a")` */
  constructor(readonly call: string, readonly errno: number) {
    super(`Cannot ${call}: ${formatErrno(errno)}`);
  }
}
