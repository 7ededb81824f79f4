import { endAgent } from "./agent.ts";
import { KernelLog } from "./kernel_log.ts";
import { type Baseline, readBaseline, resetNode } from "./reset.ts";

export * from "./functions.ts";
export * from "./infiniband.ts";
export * from "./modules.ts";
export * from "./netns.ts";
export * from "./plugin.ts";
export * from "./programs.ts";
export * from "./rdma.ts";
export * from "./sh.ts";

/** One line of the guest's output: how a case ended. */
export interface CaseResult {
  name: string;
  ok: boolean;
  /** Message and stack, if it failed. */
  error?: string;
  ms: number;
  /** What the case returned, such as a measurement. */
  detail?: unknown;
}

/** One line of the guest's output: a case that cannot run on this kernel. */
export interface LeftOutCase {
  name: string;
  leftOut: string;
}

/** The last line: a guest that died does not write it. */
export interface CaseCount {
  /** Cases that ran. */
  count: number;
  leftOut: number;
  failed: number;
  /** From the start of the kernel to the first case. */
  bootMs: number;
}

/** A case that takes longer hangs; the longest take half a minute where nothing else runs. */
const CASE_LIMIT_MS = 180_000;

interface Case {
  name: string;
  run: (log: KernelLog) => unknown;
  limitMs: number;
}

const cases: Case[] = [];

/**
 * Declares a case. It fails if its function throws or the kernel warns; what the function returns becomes the detail of
 * the result.
 */
export function vmCase(name: string, run: Case["run"], limitMs = CASE_LIMIT_MS): void {
  cases.push({ name, run, limitMs });
}

/**
 * Runs the declared cases one after the other, each on a node as after boot, and writes a line of JSON for
 * each and one with the count.
 *
 * @param isChosen whether to run the case of this name
 * @param done how many of them an earlier boot has run, from the first
 * @param leftOutReason why the kernel cannot run the case of this name; undefined if it can
 */
export async function runCases(
  isChosen: (name: string) => boolean,
  done: number,
  leftOutReason: (name: string) => string | undefined,
): Promise<void> {
  const bootMs = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
  const baseline = readBaseline();
  using log = new KernelLog();
  const counts = { count: 0, leftOut: 0, failed: 0 };
  for (const one of cases.filter(({ name }) => isChosen(name)).slice(done)) {
    const leftOut = leftOutReason(one.name);
    if (leftOut !== undefined) {
      counts.leftOut++;
      writeLine({ name: one.name, leftOut });
      continue;
    }
    if (!one.name.startsWith("agent")) await endAgent();
    const result = await runCase(one, baseline, log);
    counts.count++;
    if (!result.ok) counts.failed++;
    writeLine(result);
  }
  writeLine({ ...counts, bootMs });
}

/** The names of the declared cases. */
export function caseNames(): string[] {
  return cases.map(({ name }) => name);
}

async function runCase(
  { name, run, limitMs }: Case,
  baseline: Baseline,
  log: KernelLog,
): Promise<CaseResult> {
  const start = performance.now();
  const elapsed = () => Math.round(performance.now() - start);
  try {
    const detail = await withinLimit(() => run(log), limitMs);
    const ms = elapsed();
    await resetNode(baseline);
    await assertNoWarning(log);
    return { name, ok: true, ms, ...(detail === undefined ? {} : { detail }) };
  } catch (error) {
    const ms = elapsed();
    const later = await resetNode(baseline).then(() => assertNoWarning(log))
      .then(() => "", (failure) => `\nthen: ${failure}`);
    return {
      name,
      ok: false,
      error: (error instanceof Error ? error.stack ?? `${error}` : `${error}`) + later,
      ms,
    };
  }
}

/** A case that upset the kernel is not passed, whatever it saw itself. */
async function assertNoWarning(log: KernelLog): Promise<void> {
  const warning = await log.takeWarning();
  if (warning !== undefined) throw new Error(`The kernel warned: ${warning}`);
}

async function withinLimit(run: () => unknown, limitMs: number): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took more than ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([run(), limit]);
  } finally {
    clearTimeout(timer);
  }
}

function writeLine(value: CaseResult | LeftOutCase | CaseCount): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value)}\n`);
  for (let written = 0; written < bytes.length;) written += Deno.stdout.writeSync(bytes.subarray(written));
}
