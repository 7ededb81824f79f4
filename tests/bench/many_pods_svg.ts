import { drawChart } from "./chart.ts";
import type { ManyCalls } from "./many_pods.ts";
import { sum } from "./statistics.ts";

/** Draws how long it takes until the last of many pods is done, over how long one move takes. */
export function manyPodsSvg(rows: ManyCalls[]): string {
  const lines: Record<string, [x: number, y: number][]> = {};
  for (const { command, pods, delayMs, totalMs, moveMs } of rows) {
    (lines[`${pods} ${command}s at once`] ??= []).push([delayMs / 1000, totalMs / 1000]);
    if (command === "ADD") {
      (lines[`${pods} moves, one after the other`] ??= []).push([delayMs / 1000, sum(moveMs) / 1000]);
    }
  }
  return drawChart({
    title: "Seconds until the last of many calls ends over the time that one move takes",
    upwards: "seconds from the first start to the last end, one processor",
    rightwards: "seconds that the kernel takes longer for one move",
    marks: [...new Set(rows.map(({ delayMs }) => delayMs / 1000))],
    isLogarithmic: false,
    lines,
  });
}
