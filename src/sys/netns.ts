/** Network namespaces: opened, entered, and found below /proc. */
import {
  EINVAL,
  ELOOP,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ENOTDIR,
  ENOTTY,
  ENXIO,
  quietly,
  SyscallError,
} from "./errno.ts";
import { type Fd, openForReading } from "./fd.ts";
import { check } from "./libc.ts";

/** uapi linux/sched.h. */
const CLONE_NEWNET = 0x40000000;
/** uapi linux/nsfs.h, kernel 4.11: returns the kind of namespace behind a descriptor. */
const NS_GET_NSTYPE = 0xb703n;
/** The errors of open() when a path leads nowhere. */
const LEADS_NOWHERE = [ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP];
/** The namespace of the calling thread; /proc/self is about the process's first thread. */
const OWN_NETNS = "/proc/thread-self/ns/net";

/** An open namespace. */
export interface OpenNetns extends Disposable {
  readonly path: string;
  readonly fd: number;
  readonly device: number;
  readonly inode: number;
}

/** A path does not lead to a network namespace. */
export class NetnsError extends Error {
  override readonly name = "NetnsError";

  /** @param state "missing": nothing is there; "other": something else is there */
  constructor(readonly path: string, readonly state: "missing" | "other", cause: unknown) {
    const found = state === "missing" ? "it does not exist" : "it is not a network namespace";
    super(`Cannot open network namespace ${JSON.stringify(path)}: ${found}`, { cause });
  }
}

/** The namespace of the calling thread at the first call, before any other was entered: the host's. */
let host: OpenNetns | undefined;
/** Set when a thread could not return from another namespace: from then on nothing may be done. */
let stray: Error | undefined;

/** The namespace that this program was started in; opened at the first call, and never closed. */
export function getHostNetns(): OpenNetns {
  return host ??= openNetns(OWN_NETNS);
}

/** @throws {Error} when a thread could not return from another namespace */
export function assertInHostNetns(): void {
  if (stray) throw stray;
}

/** Returns whether a path leads to the namespace of the calling thread; false when it leads nowhere. */
export function isHostNetns(path: string): boolean {
  return quietly(() => {
    const { dev, ino } = Deno.statSync(path);
    const { device, inode } = getHostNetns();
    return dev === device && ino === inode;
  }) ?? false;
}

/** Opens a namespace by its path. @throws {NetnsError} when that leads to none, {@linkcode SyscallError} */
export function openNetns(path: string): OpenNetns {
  const fd = openAny(path);
  try {
    assertNetns(path, fd.number);
    const { dev, ino } = Deno.statSync(`/proc/self/fd/${fd.number}`);
    return {
      path,
      device: dev,
      inode: ino ?? 0,
      fd: fd.number,
      [Symbol.dispose]: () => fd[Symbol.dispose](),
    };
  } catch (error) {
    fd[Symbol.dispose]();
    throw error;
  }
}

/**
 * Does something inside a namespace: sockets that are opened there belong to it, and requests are sent from
 * it. The work must be synchronous, since anything asynchronous may run on another thread, which stays
 * outside.
 *
 * @throws {SyscallError} when the namespace cannot be entered (EPERM: no CAP_SYS_ADMIN) or left again
 */
export function inNetns<T>(netns: { readonly path: string; readonly fd: number }, work: () => T): T {
  assertInHostNetns();
  const back = getHostNetns();
  if (netns.fd === back.fd) return work();
  enter(netns);
  try {
    return work();
  } finally {
    try {
      enter(back);
    } catch (error) {
      stray = error as Error;
      // deno-lint-ignore no-unsafe-finally -- the result of the work is void: the thread is in the wrong namespace
      throw error;
    }
  }
}

/**
 * The paths below /proc to namespaces that processes are in, then to those that they have open, each with the number of
 * its namespace. A process can end, or change its namespace, before its path is opened: so a namespace has as many paths
 * as processes, and what was opened has the number that counts.
 */
export function* listNetns(): Generator<{ readonly path: string; readonly inode: number }> {
  const names = Array.from(Deno.readDirSync("/proc"), ({ name }) => name);
  const processes = names.filter((name) => /^\d+$/.test(name));
  const paths = function* () {
    for (const pid of processes) yield `/proc/${pid}/ns/net`;
    for (const pid of processes) {
      for (const fd of namesIn(`/proc/${pid}/fd`)) yield `/proc/${pid}/fd/${fd}`;
    }
  };
  for (const path of paths()) {
    const inode = nsfsInode(path);
    if (inode !== undefined) yield { path, inode };
  }
}

/**
 * The number of the network namespace behind a link below /proc; undefined when it is something else or
 * cannot be read. The link reads `net:[NUMBER]`, or "/" if the path that the file was opened by has been
 * unmounted since. In the latter case it may be a namespace of another kind.
 */
export function nsfsInode(path: string): number | undefined {
  return quietly(() => {
    const target = Deno.readLinkSync(path);
    const number = /^net:\[(\d+)\]$/.exec(target)?.[1];
    if (number !== undefined) return Number(number);
    if (target !== "/") return undefined;
    const { dev, ino } = Deno.statSync(path);
    return dev === Deno.statSync(OWN_NETNS).dev ? ino ?? undefined : undefined;
  });
}

/** The names in a directory below /proc; none when its process has ended or cannot be read. */
export function namesIn(directory: string): string[] {
  return quietly(() => Array.from(Deno.readDirSync(directory), ({ name }) => name)) ?? [];
}

function openAny(path: string): Fd {
  try {
    return openForReading(path);
  } catch (error) {
    const errno = error instanceof SyscallError ? error.errno : undefined;
    if (errno !== undefined && LEADS_NOWHERE.includes(errno)) throw new NetnsError(path, "missing", error);
    // A socket, or a device node whose device is absent.
    if (errno === ENXIO || errno === ENODEV) throw new NetnsError(path, "other", error);
    throw error;
  }
}

function assertNetns(path: string, fd: number): void {
  try {
    const kind = check(`ask what ${JSON.stringify(path)} is`, (c) => c.ioctl(fd, NS_GET_NSTYPE));
    if (kind !== CLONE_NEWNET) throw new NetnsError(path, "other", undefined);
  } catch (error) {
    const isOther = error instanceof SyscallError && (error.errno === ENOTTY || error.errno === EINVAL);
    throw isOther ? new NetnsError(path, "other", error) : error;
  }
}

function enter(netns: { readonly path: string; readonly fd: number }): void {
  check(`enter network namespace ${JSON.stringify(netns.path)}`, (c) => c.setns(netns.fd, CLONE_NEWNET));
}
