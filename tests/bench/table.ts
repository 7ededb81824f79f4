import type { Figure, Measured } from "./figures.ts";
import { median, quantile, sum } from "./statistics.ts";

/** Formats everything as tables for people. */
export function formatTables({ here, node, pods }: Measured, found: Figure[]): string {
  const starts = here?.map(({ name, ms, peakKb }) => ({
    "this machine": name,
    "median ms": tenths(median(ms)),
    "p10 ms": tenths(quantile(ms, 0.1)),
    "min ms": tenths(Math.min(...ms)),
    "peak MB": tenths(median(peakKb) / 1024),
  }));
  const growth = node && Object.keys(node.growth[0]?.ms ?? {}).map((name) => ({
    "simulated node, median ms": name,
    ...Object.fromEntries(
      node.growth.map(({ rdmaDevices, ms }) => [`${rdmaDevices} devices`, tenths(median(ms[name]))]),
    ),
  }));
  const atOnce = pods?.rows.map(({ name, isLimited, totalMs, moveMs, worstMs, overtaken, failed }) => ({
    "simulated node, calls at once": isLimited ? `${name}, 50Mi and 100m` : name,
    "all, s": (totalMs / 1000).toFixed(2),
    "moves, s": (sum(moveMs) / 1000).toFixed(2),
    "worst, s": (worstMs / 1000).toFixed(2),
    overtaken: whole(overtaken),
    failed: whole(failed),
  }));
  const figures = found.map(({ what, found, limit }) => ({
    figure: what,
    found: found.toFixed(2),
    "at most": limit?.toFixed(2) ?? "-",
    "": limit === undefined ? "" : found <= limit ? "reached" : "missed",
  }));
  return [starts, growth, atOnce, figures].flatMap((rows) => rows ? formatTable(rows) : [])
    .join("\n\n");
}

const whole = (value: number) => value.toFixed(0);
const tenths = (value: number) => value.toFixed(1);

/** Formats rows as a table, whose heads are their keys. */
function formatTable(rows: readonly Record<string, string>[]): string {
  return [Object.keys(rows[0] ?? {}), ...rows.map((row) => Object.values(row))].map(([name = "", ...cells]) =>
    (name.padEnd(50) + cells.map((cell) => cell.padStart(13)).join("")).trimEnd()
  ).join("\n");
}
