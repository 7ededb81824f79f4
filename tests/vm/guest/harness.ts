import { type Home, readHome, resetNode } from "./reset.ts";
import { shOk } from "./sh.ts";

export * from "./functions.ts";
export * from "./infiniband.ts";
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
  run: () => unknown;
  limitMs: number;
}

const cases: Case[] = [];

/** Declares a case. It fails if its function throws; what the function returns becomes the detail of the result. */
export function vmCase(name: string, run: () => unknown, limitMs = CASE_LIMIT_MS): void {
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
  const home = await readHome();
  const chosen = cases.filter(({ name }) => name.includes(filter));
  if (chosen.length > 0) {
    chosen.push({ name: "rig: the kernel did not warn", run: noKernelWarning, limitMs: CASE_LIMIT_MS });
  }
  let failed = 0;
  for (const one of chosen) {
    const result = await runCase(one, home);
    if (!result.ok) failed++;
    writeLine(result);
  }
  writeLine({ count: chosen.length, failed, bootMs } satisfies CaseCount);
}

async function runCase({ name, run, limitMs }: Case, home: Home): Promise<CaseResult> {
  const start = performance.now();
  const elapsed = () => Math.round(performance.now() - start);
  try {
    const detail = await withinLimit(run, limitMs);
    const ms = elapsed();
    await resetNode(home);
    return { name, ok: true, ms, ...(detail === undefined ? {} : { detail }) };
  } catch (error) {
    const ms = elapsed();
    const later = await resetNode(home).then(() => "", (failure) => `\nthen: ${failure}`);
    return {
      name,
      ok: false,
      error: (error instanceof Error ? error.stack ?? `${error}` : `${error}`) + later,
      ms,
    };
  }
}

/** A case that upset the kernel is not passed, whatever it saw itself. */
async function noKernelWarning(): Promise<void> {
  const log = await shOk("dmesg");
  const start = log.search(/WARNING:|BUG:|Oops|blocked for more than/);
  if (start >= 0) throw new Error(log.slice(start, start + 4000));
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
