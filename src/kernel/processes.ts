/** What other processes use: their network namespaces, by way of /proc, and the programs that they run. */
import { ETXTBSY, SyscallError } from "../sys/errno.ts";
import { openForWriting } from "../sys/fd.ts";
import { namesIn, nsfsInode } from "../sys/netns.ts";
import type { NetnsProcess, OtherNetns, OtherNetnsList } from "./node_kernel.ts";

/** The initial PID namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO), which shows all processes. */
const INITIAL_PID_NAMESPACE = "pid:[4026531836]";

/** A network namespace that is mounted somewhere. */
export interface NetnsMount {
  readonly inode: number;
  readonly path: string;
}

interface Found {
  readonly paths: Set<string>;
  readonly processes: Map<number, NetnsProcess>;
}

/**
 * The network namespaces other than the initial one that processes are in or have open, or that are mounted
 * in the mount namespace of any process. One that only a socket keeps alive leaves no trace in /proc.
 */
export function listOtherNetns(): OtherNetnsList {
  const found = new Map<number, Found>();
  const initial = nsfsInode("/proc/1/ns/net") ?? nsfsInode("/proc/self/ns/net");
  const entry = (inode: number) => {
    const known = found.get(inode) ?? { paths: new Set(), processes: new Map() };
    found.set(inode, known);
    return known;
  };
  const pids = namesIn("/proc").filter((name) => /^\d+$/.test(name)).map(Number).sort((a, b) => a - b);
  for (const pid of pids) {
    const inside = inodes(pid, namesIn(`/proc/${pid}/task`).map((task) => `task/${task}/ns/net`));
    const open = inodes(pid, namesIn(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`));
    for (const inode of new Set([...inside, ...open])) {
      if (inode === initial) continue;
      entry(inode).processes.set(pid, describeProcess(pid, !inside.includes(inode)));
    }
  }
  for (const { inode, path } of listMounts(pids)) if (inode !== initial) entry(inode).paths.add(path);
  return { namespaces: toList(found), isComplete: canSeeAll(pids) };
}

/**
 * Whether a process runs a program, in whatever container: then the kernel refuses to open it for writing.
 *
 * @throws {SyscallError} when it cannot be opened for another reason
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

/** The network namespaces among the mounts of /proc/PID/mountinfo, proc_pid_mountinfo(5). */
export function parseNetnsMounts(mountinfo: string): NetnsMount[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [, inode, path] = /^\d+ \d+ \d+:\d+ net:\[(\d+)\] (\S+) /.exec(line) ?? [];
    return inode !== undefined && path !== undefined
      ? [{ inode: Number(inode), path: unescapePath(path) }]
      : [];
  });
}

/** The container id in the cgroups of a process: runtimes name them after it, 64 hexadecimal digits. */
export function parseContainerId(cgroup: string): string | undefined {
  return cgroup.match(/(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/g)?.at(-1);
}

function toList(found: Map<number, Found>): OtherNetns[] {
  return [...found].map(([inode, { paths, processes }]) => {
    return { inode, paths: [...paths], processes: [...processes.values()] };
  });
}

function inodes(pid: number, links: string[]): number[] {
  return links.flatMap((link) => nsfsInode(`/proc/${pid}/${link}`) ?? []);
}

/** The mounts of this process come first, so that a namespace with several paths is shown by the shortest. */
function listMounts(pids: number[]): NetnsMount[] {
  const own = mountsOf("/proc/self");
  const known = new Set(own.map(({ inode, path }) => `${inode} ${path}`));
  const seen = new Set([readLink("/proc/self/ns/mnt")]);
  const others = pids.flatMap((pid) => {
    const mountNamespace = readLink(`/proc/${pid}/ns/mnt`);
    if (seen.has(mountNamespace)) return [];
    seen.add(mountNamespace);
    return mountsOf(`/proc/${pid}`).filter(({ inode, path }) => !known.has(`${inode} ${path}`))
      .map(({ inode, path }) => ({ inode, path: `/proc/${pid}/root${path}` }));
  });
  return [...own, ...others];
}

function mountsOf(process: string): NetnsMount[] {
  return parseNetnsMounts(readText(`${process}/mountinfo`));
}

/** A path as mountinfo writes it: spaces and similar characters are three octal digits. */
export function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(parseInt(digits, 8)));
}

function describeProcess(pid: number, onlyOpen: boolean): NetnsProcess {
  const command = readText(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  const containerId = parseContainerId(readText(`/proc/${pid}/cgroup`));
  return {
    pid,
    command: command === "" ? `[${readText(`/proc/${pid}/comm`).trim()}]` : command,
    ...(containerId === undefined ? {} : { containerId }),
    onlyOpen,
  };
}

function canSeeAll(pids: number[]): boolean {
  if (readLink("/proc/self/ns/pid") !== INITIAL_PID_NAMESPACE) return false;
  return pids.every((pid) => readLink(`/proc/${pid}/ns/net`) !== undefined || hasEnded(pid));
}

function hasEnded(pid: number): boolean {
  return !/^State:\s+[^ZX]/m.test(readText(`/proc/${pid}/status`));
}

function readLink(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return undefined;
  }
}

/** The text of a file below /proc; empty when its process has ended or cannot be read. */
function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
