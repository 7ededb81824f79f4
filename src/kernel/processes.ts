/** The things that other processes use: their network namespaces, by way of /proc, and the programs that they run. */
import { ETXTBSY, quietly, SyscallError } from "../sys/errno.ts";
import { openForWriting } from "../sys/fd.ts";
import { namesIn, nsfsInode } from "../sys/netns.ts";
import type { Netns } from "./kernel.ts";
import type { NetnsProcess, OtherNetns, OtherNetnsList } from "./node_kernel.ts";

/** The initial PID namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO), which shows all processes. */
const INITIAL_PID_NAMESPACE = "pid:[4026531836]";
/** uapi linux/capability.h. */
const CAP_SYS_PTRACE = 19n;
/** The number of times to look for processes that have started meanwhile. */
const PASSES = 3;

/** A network namespace that is mounted somewhere. */
interface NetnsMount {
  readonly inode: number;
  readonly path: string;
}

/** A namespace's facts, if it could be read, and all that leads to it. */
interface Found<T> {
  facts?: T;
  readonly paths: Set<string>;
  readonly processes: Map<number, NetnsProcess>;
}

/**
 * Lists the network namespaces other than the initial one that processes are in or have open, or that are mounted in the
 * mount namespace of any process. One that only a socket keeps alive leaves no trace in /proc.
 *
 * Processes start, end and change their namespace meanwhile. So each namespace is opened and read as soon as something
 * leads to it, or by the next thing that leads to it if that fails; and what was opened counts as the namespace that it
 * is, which may be another one than the link named a moment before.
 *
 * @param open opens a namespace by its path; undefined where there is none any more
 * @param read reads what the caller wants to know of each; without it none is opened
 * @param proc where procfs is mounted
 */
export function listOtherNetns<T>(
  open: (path: string) => Netns | undefined,
  read?: (netns: Netns) => T,
  proc = "/proc",
): OtherNetnsList<T> {
  const found = new Map<number, Found<T>>();
  const initial = nsfsInode(`${proc}/1/ns/net`) ?? nsfsInode(`${proc}/self/ns/net`);
  const entry = (inode: number): Found<T> => {
    const known = found.get(inode) ?? { paths: new Set(), processes: new Map() };
    found.set(inode, known);
    return known;
  };
  const see = (inode: number, path: string): Found<T> => {
    const seen = entry(inode);
    if (!read || "facts" in seen) return seen;
    using netns = open(path);
    if (!netns || netns.inode === initial) return seen;
    const opened = entry(netns.inode);
    if (!("facts" in opened)) opened.facts = read(netns);
    return seen;
  };
  let isComplete = readLink(`${proc}/self/ns/pid`) === INITIAL_PID_NAMESPACE && !hidesProcesses(proc);
  const pids = new Set<number>();
  for (let pass = 0; pass < PASSES; pass++) {
    for (const pid of listPids(proc).filter((pid) => !pids.has(pid))) {
      pids.add(pid);
      const process = `${proc}/${pid}`;
      if (readLink(`${process}/ns/net`) === undefined && !hasEnded(process)) isComplete = false;
      const threads = namesIn(`${process}/task`).filter((task) => task !== `${pid}`);
      const tasks = [`${process}/ns/net`, ...threads.map((task) => `${process}/task/${task}/ns/net`)];
      const files = namesIn(`${process}/fd`).map((fd) => `${process}/fd/${fd}`);
      for (const [paths, onlyOpen] of [[tasks, false], [files, true]] as const) {
        for (const path of paths) {
          const inode = nsfsInode(path);
          if (inode === undefined || inode === initial) continue;
          const { processes } = see(inode, path);
          if (!processes.has(pid)) processes.set(pid, describeProcess(process, pid, onlyOpen));
        }
      }
    }
  }
  for (const { inode, path } of listMounts(proc, [...pids])) {
    if (inode !== initial) see(inode, path).paths.add(path);
  }
  const namespaces = Array.from(found, ([inode, { paths, processes, ...facts }]): OtherNetns<T> => {
    return { inode, paths: [...paths], processes: [...processes.values()], ...facts };
  });
  return { namespaces, isComplete };
}

/**
 * Returns whether a process runs a program, in whatever container: then the kernel refuses to open it for writing.
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
    return path === undefined ? [] : [{ inode: Number(inode), path: unescapePath(path) }];
  });
}

/** The container id in the cgroups of a process: runtimes name them after it, 64 hexadecimal digits. */
export function parseContainerId(cgroup: string): string | undefined {
  return cgroup.match(/(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/g)?.at(-1);
}

/** The mounts of this process come first, so that a namespace with several paths is shown by the shortest. */
function listMounts(proc: string, pids: readonly number[]): NetnsMount[] {
  const own = mountsOf(`${proc}/self`);
  const known = new Set(own.map(({ inode, path }) => `${inode} ${path}`));
  const seen = new Set([readLink(`${proc}/self/ns/mnt`)]);
  const others = pids.flatMap((pid) => {
    const mountNamespace = readLink(`${proc}/${pid}/ns/mnt`);
    if (seen.has(mountNamespace)) return [];
    seen.add(mountNamespace);
    return mountsOf(`${proc}/${pid}`).filter(({ inode, path }) => !known.has(`${inode} ${path}`))
      .map(({ inode, path }) => ({ inode, path: `${proc}/${pid}/root${path}` }));
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

function describeProcess(process: string, pid: number, onlyOpen: boolean): NetnsProcess {
  const command = readText(`${process}/cmdline`).replaceAll("\0", " ").trim();
  const containerId = parseContainerId(readText(`${process}/cgroup`));
  return {
    pid,
    command: command === "" ? `[${readText(`${process}/comm`).trim()}]` : command,
    ...(containerId === undefined ? {} : { containerId }),
    onlyOpen,
  };
}

function listPids(proc: string): number[] {
  return namesIn(proc).filter((name) => /^\d+$/.test(name)).map(Number).sort((a, b) => a - b);
}

/**
 * Returns whether a mount of procfs hides the processes of others (fs/proc/root.c, hidepid), and this process lacks the
 * capability for which it makes an exception (fs/proc/base.c, has_pid_permissions).
 */
function hidesProcesses(proc: string): boolean {
  const mounts = readText(`${proc}/self/mountinfo`).matchAll(/^\d+ \d+ \S+ \/ (\S+) .* - proc \S+ (\S+)$/gm);
  const [, , options = ""] = [...mounts].findLast(([, path]) => path === proc) ?? [];
  if (!/(?:^|,)hidepid=(?!0|off)/.test(options)) return false;
  const [, effective = "0"] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText(`${proc}/self/status`)) ?? [];
  return (BigInt(`0x${effective}`) >> CAP_SYS_PTRACE & 1n) === 0n;
}

function hasEnded(process: string): boolean {
  return !/^State:\s+[^ZX]/m.test(readText(`${process}/status`));
}

function readLink(path: string): string | undefined {
  return quietly(() => Deno.readLinkSync(path));
}

/** The text of a file below /proc; empty when its process has ended or cannot be read. */
function readText(path: string): string {
  return quietly(() => Deno.readTextFileSync(path)) ?? "";
}
