/** The system calls of a call of the plugin, and what strace does to one of them. */
import assert from "node:assert/strict";
import type { CniOutcome } from "./plugin.ts";
import { until } from "./sh.ts";

/** One system call of a run that was left alone. */
export interface SystemCall {
  name: string;
  /** The how manieth of its name it is, counted from 1 and from the start of the program. */
  ordinal: number;
  /** As strace prints it. */
  text: string;
}

/** What the plugin asks the kernel for, but for memory and time. */
const NAMES = [
  ...["openat", "read", "write", "rename", "unlink", "mkdir", "flock", "ftruncate"],
  ...["statx", "readlink", "getdents64", "faccessat2"],
  ...["socket", "setsockopt", "getsockopt", "sendto", "recvfrom", "setns", "ioctl"],
];
const TRACE = "/run/trace";
/** A call that takes longer hangs: none waits longer than 30 s for the kernel or the lock, and some tries are slow. */
const HANG_S = 240;

/**
 * Runs the plugin once and tells which system calls it makes from reading its input on: what comes before is the start
 * of the runtime. Only those of its one thread that calls the kernel; the others are of the runtime too.
 */
export async function listSystemCalls(
  run: (wrapper: string[]) => Promise<CniOutcome>,
): Promise<SystemCall[]> {
  const { code, stdout, stderr } = await run(
    `strace -f --seccomp-bpf -o ${TRACE} -e trace=${NAMES.join()}`.split(" "),
  );
  assert.equal(code, 0, stdout + stderr);
  const lines = Deno.readTextFileSync(TRACE).split("\n").map((line) => /^(\d+) +((\w+)\(.*)$/.exec(line));
  const thread = lines[0]?.[1];
  const counts = new Map<string, number>();
  const calls = lines.flatMap((match) => {
    const [, of, text = "", name = ""] = match ?? [];
    if (of !== thread) return [];
    const ordinal = (counts.get(name) ?? 0) + 1;
    counts.set(name, ordinal);
    return [{ name, ordinal, text }];
  });
  const start = calls.findIndex(({ text }) => /^read\(\d+, "\{\\"cniVersion\\"/.test(text));
  assert.ok(start >= 0, "The plugin does not read its input");
  return calls.slice(start);
}

/**
 * Kills a program as it is about to make a system call, which is not made then. strace would send the signal itself, but
 * only while it stops the program at each of its system calls, which takes seconds on an emulated processor; so it just
 * holds the program at that one.
 *
 * @param run starts the program by a wrapper, and waits for its end
 * @param paths only calls about these files count, if there are some
 * @returns how it ended: by code 137, unless it makes fewer such calls
 */
export async function killAt<T>(
  run: (wrapper: string[]) => Promise<T>,
  { name, ordinal }: Omit<SystemCall, "text">,
  paths: string[] = [],
): Promise<T> {
  Deno.writeTextFileSync(TRACE, "");
  let hasEnded = false;
  const wrapper = strace(
    { name, ordinal },
    `delay_enter=${HANG_S}s`,
    ...paths.flatMap((path) => ["-P", path]),
  );
  const call = run(wrapper).finally(() => hasEnded = true);
  // Only the thread that calls the kernel, which comes first: strace counts each one's calls.
  const calls = () => {
    const lines = Deno.readTextFileSync(TRACE).split("\n").map((line) => /^(\d+) +(\w+)\(/.exec(line));
    return lines.filter((line) => line?.[1] === lines[0]?.[1] && line?.[2] === name);
  };
  await until(`${name} is called`, () => hasEnded || calls().length === ordinal, HANG_S * 1000);
  const held = calls()[ordinal - 1];
  if (held && !hasEnded) Deno.kill(Number(held[1]), "SIGKILL");
  return await call;
}

/** Starts the plugin and lets a system call fail without being made. @param error as strace writes it: `EIO` */
export function failAt(call: SystemCall, error: string): string[] {
  return strace(call, `error=${error}`);
}

function strace({ name, ordinal }: Omit<SystemCall, "text">, what: string, ...options: string[]): string[] {
  return [
    ...["timeout", "--signal=KILL", `${HANG_S}`, "strace", "-f", "--seccomp-bpf", ...options, "-o", TRACE],
    ...["-e", `trace=${name}`, "-e", `inject=${name}:${what}:when=${ordinal}`],
  ];
}

/** Makes sure that what {@linkcode killAt} or {@linkcode failAt} did was done to this very call. */
export function assertHit({ text }: SystemCall): void {
  const trace = Deno.readTextFileSync(TRACE).split("\n");
  const hit = trace.findLast((line) => /^\d+ +\w+\(.*(\(INJECTED\)| = \?)$/.test(line));
  assert.equal(nameAndFirstArgument(hit ?? ""), nameAndFirstArgument(text), "the call that was hit");
}

/** The other arguments are not always the same, or not yet known when the call is made. */
function nameAndFirstArgument(line: string): string | undefined {
  return /\w+\([^,) ]*/.exec(line)?.[0];
}
