import { writeAll } from "../../../../src/sys/files.ts";
import { endAgent } from "./agent.ts";
import { type CaseFields, leftOutReason, parseRelease } from "../kernels.ts";
import { KernelLog } from "./kernel_log.ts";
import { type Baseline, readBaseline, resetNode } from "./reset.ts";

export * from "./attachment.ts";
export * from "./functions.ts";
export * from "./modules.ts";
export * from "./netns.ts";
export * from "./plugin.ts";
export * from "./programs.ts";
export * from "./rdma.ts";
export * from "./sh.ts";

export interface CaseResult {
  name: string;
  ok: boolean;
  error?: string;
  ms: number;
  detail?: unknown;
}

export interface LeftOutCase {
  name: string;
  leftOut: string;
}

export interface CaseCount {
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

/** Declares a case. What its function returns becomes the detail of the result. */
export function vmCase(
  name: string,
  run: Case["run"],
  { sets = ["plugin"], needs, limitMs = CASE_LIMIT_MS }: CaseFields = {},
): void {
  cases.push({ name, run, sets, needs, limitMs });
}

export function casesWith(common: CaseFields): typeof vmCase {
  return (name, run, own) => vmCase(name, run, { ...common, ...own });
}

/** Runs the cases of a set whose names have a part. @param done how many of them an earlier boot has run */
export async function runCases(set: string, part: string, done: number): Promise<void> {
  const bootMs = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
  const baseline = readBaseline();
  using log = new KernelLog();
  const counts = { count: 0, leftOut: 0, failed: 0 };
  const kernel = parseRelease(Deno.osRelease());
  const chosen = cases.filter(({ name, sets }) =>
    name.includes(part) && (set === "all" || sets.some((one) => one === set))
  );
  for (const one of chosen.slice(done)) {
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
  const errors: string[] = [];
  const attempt = async (work: () => unknown) => {
    try {
      return await work();
    } catch (error) {
      errors.push(error instanceof Error ? error.stack ?? `${error}` : `${error}`);
      return undefined;
    }
  };
  const detail = await attempt(() => deadline(run(log), limitMs));
  const ms = Math.round(performance.now() - start);
  await attempt(() => resetNode(baseline));
  // A case that upset the kernel is not passed, whatever it saw itself.
  const warning = await attempt(() => log.takeWarning());
  if (warning !== undefined) errors.push(`The kernel warned: ${warning}`);
  if (errors.length > 0) return { name, ok: false, error: errors.join("\nthen: "), ms };
  return { name, ok: true, ms, ...(detail === undefined ? {} : { detail }) };
}

async function deadline(work: unknown, limitMs: number): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took more than ${limitMs} ms`)), limitMs);
  });
  return await Promise.race([work, limit]).finally(() => clearTimeout(timer));
}

function writeLine(value: CaseResult | LeftOutCase | CaseCount): void {
  writeAll(Deno.stdout, new TextEncoder().encode(`${JSON.stringify(value)}\n`));
}
