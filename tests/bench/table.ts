import type { LimitedCalls } from "./cpu_limit.ts";
import { type Figure, type Measured, nameOf } from "./figures.ts";
import type { Starts } from "./here.ts";
import type { ManyCalls } from "./many_pods.ts";
import type { AtOnce, GrowthStep } from "./node.ts";
import { median, quantile, sum } from "./statistics.ts";

/** Everything as text for people. */
export function formatTables({ here, node, manyPods, cpuLimit }: Measured, found: Figure[]): string {
  const tables = [
    ...(here ? [startTable(here)] : []),
    ...(node ? [growthTable(node.growth), atOnceTable(node.atOnce)] : []),
    ...(manyPods ? [manyPodsTable(manyPods.rows)] : []),
    ...(cpuLimit ? [cpuLimitTable(cpuLimit)] : []),
    figureTable(found),
  ];
  return tables.join("\n\n");
}

function startTable(starts: Starts[]): string {
  return table([
    ["this machine", "median ms", "p10 ms", "min ms", "peak MB"],
    ...starts.map(({ name, ms, peakKb }) => [
      name,
      ...[median(ms), quantile(ms, 0.1), Math.min(...ms)].map(tenths),
      tenths(median(peakKb) / 1024),
    ]),
  ]);
}

function growthTable(steps: GrowthStep[]): string {
  return table([
    ["simulated node, median ms", ...steps.map(({ rdmaDevices }) => `${rdmaDevices} devices`)],
    ...Object.keys(steps[0]?.ms ?? {}).map((
      name,
    ) => [name, ...steps.map(({ ms }) => whole(median(ms[name])))]),
    ["network links", ...steps.map(({ links }) => `${links}`)],
  ]);
}

function atOnceTable(results: AtOnce[]): string {
  return table([
    [`simulated node, ${results[0]?.calls} at once`, "all, ms", "worst, ms", "failed"],
    ...results.map(({ name, totalMs, worstMs, failed }) => [
      name,
      ...[totalMs, worstMs].map((ms) => whole(median(ms))),
      `${failed}`,
    ]),
  ]);
}

function manyPodsTable(rows: ManyCalls[]): string {
  return table([
    ["simulated node, many pods", "all, s", "moves, s", "worst, s", "locked, ms", "overtaken", "failed"],
    ...rows.map((row) => [
      nameOf(row),
      ...[row.totalMs, sum(row.moveMs), row.worstMs].map((ms) => tenths(ms / 1000)),
      whole(median(row.lockedMs)),
      ...[row.overtaken, row.failed].map(whole),
    ]),
  ]);
}

function cpuLimitTable(rows: LimitedCalls[]): string {
  return table([
    ["simulated node, CPU limit", "all, s", "worst, s", "failed"],
    ...rows.map(({ version, millicpu, order, calls, totalMs, worstMs, failed }) => [
      `${calls} ADDs ${order}, ${millicpu === null ? "no limit" : `${millicpu}m`}, cgroup v${version}`,
      ...[totalMs, worstMs].map((ms) => tenths(ms / 1000)),
      whole(failed),
    ]),
  ]);
}

function figureTable(found: Figure[]): string {
  return table([
    ["figure", "found", "at most", ""],
    ...found.map(({ what, found, limit }) => [
      what,
      found.toFixed(2),
      ...(limit === undefined ? ["-", ""] : [limit.toFixed(2), found <= limit ? "reached" : "missed"]),
    ]),
  ]);
}

const whole = (value: number) => value.toFixed(0);
const tenths = (value: number) => value.toFixed(1);

function table(rows: string[][]): string {
  return rows.map(([name = "", ...cells]) =>
    (name.padEnd(50) + cells.map((cell) => cell.padStart(13)).join("")).trimEnd()
  ).join("\n");
}
