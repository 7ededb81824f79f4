import { drawChart } from "./chart.ts";
import type { GrowthStep } from "./node.ts";
import { median } from "./statistics.ts";

/** Draws what the empty program and each way of ADD take, in milliseconds, over the number of RDMA devices. */
export function growthSvg(steps: GrowthStep[]): string {
  const names = Object.keys(steps[0]?.ms ?? {}).filter((name) => /^empty|ADD/.test(name));
  return drawChart({
    title: "Milliseconds of one call over the number of RDMA devices of the node",
    upwards: "median ms of one call, at one instruction a nanosecond",
    rightwards: "RDMA devices (and as many links)",
    marks: steps.map(({ rdmaDevices }) => rdmaDevices),
    isLogarithmic: true,
    lines: Object.fromEntries(
      names.map((name) => [name, steps.map(({ rdmaDevices, ms }) => [rdmaDevices, median(ms[name])])]),
    ),
  });
}
