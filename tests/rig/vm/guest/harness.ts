import { endAgent } from "./agent.ts";
import { type CaseFields, leftOutReason, parseRelease } from "../kernels.ts";
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

interface Case extends Required<CaseFields> {
  readonly name: string;
  readonly run: (log: KernelLog) => unknown;
}

const cases: Case[] = [];

/**
 * Declares a case. It fails if its function throws or the kernel warns; what the function returns becomes the detail of
 * the result. Unless it says otherwise it is one about the plugin.
 */
export function vmCase(
  name: string,
  run: Case["run"],
  { sets = ["plugin"], needs, limitMs = CASE_LIMIT_MS }: CaseFields = {},
): void {
  cases.push({ name, run, sets, needs, limitMs });
}

/** Declares cases that have these fields unless they say otherwise. */
export function casesWith(common: CaseFields): typeof vmCase {
  return (name, run, own) => vmCase(name, run, { ...common, ...own });
}

/**
 * Runs the declared cases one after the other, each on a node as after boot, and writes a line of JSON for
 * each and one with the count.
 *
 * @param set a name of kernels.ts, or "all"
 * @param part of the names of the cases to run
 * @param done how many of them an earlier boot has run, from the first
 */
export async function runCases(set: string, part: string, done: number): Promise<void> {
  const bootMs = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
  const baseline = readBaseline();
  using log = new KernelLog();
  const counts = { count: 0, leftOut: 0, failed: 0 };
  const kernel = parseRelease(Deno.osRelease());
  const isChosen = ({ name, sets }: Case) =>
    name.includes(part) && (set === "all" || sets.some((one) => one === set));
  for (const one of cases.filter(isChosen).slice(done)) {
    const leftOut = leftOutReason(one, kernel);
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
