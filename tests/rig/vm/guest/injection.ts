/** The system calls of a call of the plugin, and what strace does to one of them. */
import { assert, assertEquals } from "../../../support/assert.ts";
import type { CniOutcome } from "./plugin.ts";
import { assertCode, endProcess, until } from "./sh.ts";

export interface SystemCall {
  name: string;
  /** The how manieth of its name it is, counted from 1 and from the start of the program. */
  ordinal: number;
  text: string;
}

/** What the plugin and its agent ask the kernel for, but for memory and time. */
const NAMES = [
  ...["openat", "read", "write", "rename", "unlink", "mkdir", "flock", "ftruncate"],
  ...["statx", "readlink", "getdents64", "faccessat2"],
  ...["accept4", "socket", "setsockopt", "getsockopt", "sendto", "recvfrom", "setns", "ioctl"],
];
const TRACE = "/run/trace";
const STRACE = ["strace", "-f", "-o", TRACE];
/** A call that takes longer hangs: none waits longer than 30 s for the kernel or the lock, and some tries are slow. */
const HANG_S = 240;

type Run = (wrapper: string[]) => Promise<CniOutcome>;

/**
 * Runs the plugin once and tells which system calls it makes from reading its input on: what comes before is the start
 * of the runtime. Only those of its one thread that calls the kernel; the others are of the runtime too.
 */
export async function listSystemCalls(run: Run): Promise<SystemCall[]> {
  await assertCode(0, run([...STRACE, "--seccomp-bpf", "-e", `trace=${NAMES.join()}`]));
  const calls = readTrace();
  const start = calls.findIndex(({ text }) => /^read\(\d+, "\{\\"cniVersion\\"/.test(text));
  assert(start >= 0, "The plugin does not read its input");
  return calls.slice(start);
}

/** The system calls of the traced program's first thread, but for those that are not counted. */
function readTrace(isCounted: (text: string) => boolean = () => true): SystemCall[] {
  const lines = Deno.readTextFileSync(TRACE).split("\n").map((line) =>
    /^(?:(\d+) +)?((\w+)\(.*)$/.exec(line)
  );
  const thread = lines[0]?.[1];
  const counts = new Map<string, number>();
  return lines.flatMap((match) => {
    const [, of, text = "", name = ""] = match ?? [];
    if (of !== thread || name === "" || !isCounted(text)) return [];
    const ordinal = (counts.get(name) ?? 0) + 1;
    counts.set(name, ordinal);
    return [{ name, ordinal, text }];
  });
}

/** Runs a call by the launcher and tells which system calls that makes, from its first to its last. */
export async function listLauncherCalls(run: Run): Promise<SystemCall[]> {
  await assertCode(0, run(["strace", "-o", TRACE]));
  const calls = readTrace();
  assertEquals(calls.at(-1)?.name, "exit_group", "the launcher's last call");
  return calls.slice(1); // the first is of strace, which starts the launcher
}

/** The system calls of an agent's first thread during some work, but for those that it makes every five seconds. */
export async function listSystemCallsIn(pid: number, work: () => Promise<unknown>): Promise<SystemCall[]> {
  await attached(pid, ["-e", `trace=${NAMES.join()}`], work);
  return readTrace((text) => !text.includes('/current"')).filter(({ text }) => !text.includes("EAGAIN"));
}

/** Does some work during which a running process is killed as its first thread is about to make a system call. */
export function killIn<T>(pid: number, point: SystemCall, work: () => Promise<T>) {
  return failIn(pid, point, "EIO:signal=KILL", work);
}

/**
 * Does some work during which a system call of a running process's first thread fails without being made. How often the
 * agent looks for what is not there yet differs from run to run: so it may not come to this call.
 */
export async function failIn<T>(
  pid: number,
  { name, ordinal }: SystemCall,
  error: string,
  work: () => Promise<T>,
): Promise<{ ended: T; isHit: boolean }> {
  const ended = await attached(pid, inject(name, `error=${error}:when=${ordinal}`), work);
  return { ended, isHit: /\(INJECTED\)| = \?/.test(Deno.readTextFileSync(TRACE)) };
}

/** Has strace at the first thread of a running process meanwhile. */
async function attached<T>(pid: number, options: string[], work: () => Promise<T>): Promise<T> {
  const args = ["-q", "-o", TRACE, ...options, "-p", `${pid}`];
  const strace = new Deno.Command("strace", { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
  await until("strace has attached", () => {
    return /^TracerPid:\t[1-9]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  });
  try {
    return await work();
  } finally {
    endProcess(strace, "SIGINT");
    await strace.status;
  }
}

/** Starts the plugin and kills it as it is about to make a system call. */
export function killAt({ name, ordinal }: SystemCall): string[] {
  return ["timeout", "--signal=KILL", `${HANG_S}`, ...killAtNth(name, ordinal, "-o", TRACE)];
}

/** Starts the plugin and lets a system call fail without being made. @param error as strace writes it: `EIO` */
export function failAt({ name, ordinal }: SystemCall, error: string): string[] {
  const strace = [...STRACE, "--seccomp-bpf", ...inject(name, `error=${error}:when=${ordinal}`)];
  return ["timeout", "--signal=KILL", `${HANG_S}`, ...strace];
}

/** Kills a program about to make the nth call of a name. Not with a filter, with which strace loses signals. */
export function killAtNth(name: string, n: number, ...options: string[]): string[] {
  return [
    ...["strace", "-f", ...options.includes("-o") ? [] : ["-o", "/dev/null"], ...options],
    ...inject(name, `error=EIO:signal=KILL:when=${n}`),
  ];
}

/** Starts a call and returns once it is stopped after the nth system call of a name, which strace prints as `text`. */
export async function stopAfterNth(
  name: string,
  n: number,
  run: Run,
): Promise<{ call: Promise<CniOutcome>; text: string; goOn: () => void }> {
  Deno.writeTextFileSync(TRACE, "");
  const call = run([...STRACE, ...inject(name, `signal=STOP:when=${n}`)]);
  let pid: string | undefined;
  await until("the call is stopped", () => {
    [, pid] = /^(\d+) +--- stopped by SIGSTOP/m.exec(Deno.readTextFileSync(TRACE)) ?? [];
    return pid !== undefined;
  });
  return { call, text: readTrace().at(-1)!.text, goOn: () => Deno.kill(Number(pid), "SIGCONT") };
}

const inject = (name: string, what: string) => ["-e", `trace=${name}`, "-e", `inject=${name}:${what}`];

/** Makes sure that what {@linkcode killAt} or {@linkcode failAt} did was done to this very call. */
export function assertHit({ text }: SystemCall): void {
  const trace = Deno.readTextFileSync(TRACE).split("\n");
  const hit = trace.findLast((line) => /^\d+ +\w+\(.*(\(INJECTED\)| = \?)$/.test(line));
  // The other arguments are not always the same, or not yet known when the call is made.
  const [found, wanted] = [hit ?? "", text].map((line) => /\w+\([^,) ]*/.exec(line)?.[0]);
  assertEquals(found, wanted, "the call that was hit");
}
