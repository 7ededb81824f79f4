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

/** The last line: a guest that died does not write it. */
export interface CaseCount {
  count: number;
  failed: number;
  /** From the start of the kernel to the first case. */
  bootMs: number;
}

const CASE_LIMIT_MS = 60_000;

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
 * @param filter a part of the names of the cases to run; all cases contain ""
 */
export async function runCases(filter: string): Promise<void> {
  const bootMs = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
  const baseline = await readBaseline();
  const chosen = cases.filter(({ name }) => name.includes(filter));
  using log = new KernelLog();
  let failed = 0;
  for (const one of chosen) {
    const result = await runCase(one, baseline, log);
    if (!result.ok) failed++;
    writeLine(result);
  }
  writeLine({ count: chosen.length, failed, bootMs } satisfies CaseCount);
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
  let timer: number | undefined;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took more than ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([run(), limit]);
  } finally {
    clearTimeout(timer);
  }
}

function writeLine(value: CaseResult | CaseCount): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value)}\n`);
  for (let written = 0; written < bytes.length;) written += Deno.stdout.writeSync(bytes.subarray(written));
}
