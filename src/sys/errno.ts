/** The errno values that this program can meet (uapi asm-generic/errno-base.h and errno.h). */
export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const ENOEXEC = 8;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOTTY = 25;
export const ETXTBSY = 26;
export const ENOSPC = 28;
export const EROFS = 30;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ELOOP = 40;
export const ENOTUNIQ = 76;
export const EMSGSIZE = 90;
export const EPROTONOSUPPORT = 93;
export const EOPNOTSUPP = 95;
export const ENOBUFS = 105;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;

const ERRNO: Readonly<Record<number, readonly [name: string, text: string]>> = {
  [EPERM]: ["EPERM", "operation not permitted"],
  [ENOENT]: ["ENOENT", "no such file or directory"],
  [ESRCH]: ["ESRCH", "no such process"],
  [EINTR]: ["EINTR", "interrupted"],
  [EIO]: ["EIO", "input/output error"],
  [ENXIO]: ["ENXIO", "no such device, or a pipe that nobody reads"],
  [ENOEXEC]: ["ENOEXEC", "not a program for this machine"],
  [EBADF]: ["EBADF", "bad file descriptor"],
  [EAGAIN]: ["EAGAIN", "no answer in time, or held by another process"],
  [ENOMEM]: ["ENOMEM", "out of memory"],
  [EACCES]: ["EACCES", "permission denied"],
  [EBUSY]: ["EBUSY", "device or resource busy"],
  [EEXIST]: ["EEXIST", "already exists"],
  [ENODEV]: ["ENODEV", "no such device"],
  [ENOTDIR]: ["ENOTDIR", "not a directory"],
  [EINVAL]: ["EINVAL", "invalid argument"],
  [ENFILE]: ["ENFILE", "too many open files in the system"],
  [EMFILE]: ["EMFILE", "too many open files"],
  [ENOTTY]: ["ENOTTY", "operation not supported by this file"],
  [ETXTBSY]: ["ETXTBSY", "being run by a process"],
  [ENOSPC]: ["ENOSPC", "no space left on device"],
  [EROFS]: ["EROFS", "read-only file system"],
  [ERANGE]: ["ERANGE", "out of range"],
  [ENAMETOOLONG]: ["ENAMETOOLONG", "name too long"],
  [ENOSYS]: ["ENOSYS", "system call not there"],
  [ELOOP]: ["ELOOP", "symbolic link not followed"],
  [ENOTUNIQ]: ["ENOTUNIQ", "name not unique"],
  [EMSGSIZE]: ["EMSGSIZE", "message too long"],
  [EPROTONOSUPPORT]: ["EPROTONOSUPPORT", "protocol not supported"],
  [EOPNOTSUPP]: ["EOPNOTSUPP", "operation not supported"],
  [ENOBUFS]: ["ENOBUFS", "no buffer space"],
  [ETIMEDOUT]: ["ETIMEDOUT", "timed out"],
  [ECONNREFUSED]: ["ECONNREFUSED", "nobody listens there"],
};

/** An errno in words: `EINVAL (22), invalid argument`. */
export function formatErrno(errno: number): string {
  const known = ERRNO[errno];
  return known ? `${known[0]} (${errno}), ${known[1]}` : `errno ${errno}`;
}

/** The errno at the end of a Deno error's message, or undefined when it has none. */
export function errnoOf(error: unknown): number | undefined {
  const [, errno] = /\(os error (\d+)\)/.exec((error as Error).message) ?? [];
  return errno === undefined ? undefined : Number(errno);
}

/** The name of an error's errno, "ENOENT", or undefined when it has none. */
export function codeOf(error: unknown): string | undefined {
  const { code, errno = errnoOf(error) } = error as { code?: string; errno?: number };
  return code ?? ERRNO[errno ?? 0]?.[0];
}

/** Returns what the work returns, or undefined when it fails: for work that nothing depends on. */
export function quietly<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** The message of what was thrown, even if it is not an Error. An errno in it is told as in all other messages. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message } = error;
  const errno = errnoOf(error) ?? 0;
  return errno in ERRNO ? message.replace(/^.*? \(os error \d+\)/s, () => formatErrno(errno)) : message;
}

/** Several names in quotes, for a message. */
export function quoteAll(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(", ");
}

/** A system call failed. For what the kernel says in a netlink reply see `NetlinkError`. */
export class SyscallError extends Error {
  override readonly name = "SyscallError";

  /** @param call the call as in code or in words, with quoted arguments: `open("/run/netns/a")` */
  constructor(readonly call: string, readonly errno: number) {
    super(`Cannot ${call}: ${formatErrno(errno)}`);
  }
}

/** Tells whether the kernel refused for want of rights, as an error or as the cause of one. */
export function isPermission(error: unknown): boolean {
  if (error instanceof Deno.errors.PermissionDenied) return true;
  if (error instanceof SyscallError) return error.errno === EPERM || error.errno === EACCES;
  return error instanceof Error && error.cause !== undefined && isPermission(error.cause);
}
