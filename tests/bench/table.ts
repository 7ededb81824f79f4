import type { Figure } from "./figures.ts";
import type { Starts } from "./here.ts";
import type { AtOnce, GrowthStep, NodeMeasurements } from "./node.ts";
import { median, quantile } from "./statistics.ts";

/** Everything as text for people. */
export function formatTables(here: Starts[], node: NodeMeasurements | undefined, found: Figure[]): string {
  const tables = [
    startTable(here),
    ...(node ? [growthTable(node.growth), atOnceTable(node.atOnce)] : []),
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
