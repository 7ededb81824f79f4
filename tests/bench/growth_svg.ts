import { escapeXml } from "../../docs/pictures/svg.ts";
import type { GrowthStep } from "./node.ts";
import { median } from "./statistics.ts";

const [WIDTH, HEIGHT] = [800, 360];
const PLOT = { left: 56, right: 480, top: 40, bottom: 312 };
/** Seen on light and on dark ground. */
const COLOURS = ["#8b949e", "#2f81f7", "#e3702d", "#2da44e", "#a371f7", "#e5534b"];

/** Draws what the empty program and each way of ADD take, in milliseconds, over the number of RDMA devices. */
export function growthSvg(steps: GrowthStep[]): string {
  const names = Object.keys(steps[0]?.ms ?? {}).filter((name) => /^empty|ADD/.test(name));
  const top = niceAbove(Math.max(...names.flatMap((name) => steps.map(({ ms }) => median(ms[name])))));
  const [least = NaN, most = NaN] = [steps[0]?.rdmaDevices, steps.at(-1)?.rdmaDevices];
  const x = (devices: number) =>
    between(PLOT.left, PLOT.right, Math.log(devices / least) / Math.log(most / least));
  const y = (ms: number) => between(PLOT.bottom, PLOT.top, ms / top);
  const lines = names.map((name, i) => {
    const at = steps.map(({ rdmaDevices, ms }) =>
      `${x(rdmaDevices).toFixed(1)},${y(median(ms[name])).toFixed(1)}`
    );
    const legendY = PLOT.top + 14 + i * 24;
    return `<g stroke="${COLOURS[i % COLOURS.length]}" fill="none" stroke-width="2">
<polyline points="${at.join(" ")}"/>
<path d="M${PLOT.right + 24} ${legendY - 4}h24"/>
</g>
<text x="${PLOT.right + 56}" y="${legendY}">${escapeXml(name)}</text>`;
  });
  const levels = [0, 1, 2, 3, 4].map((part) => {
    const ms = (top * part) / 4;
    return `<path class="grid" d="M${PLOT.left} ${y(ms)}H${PLOT.right}"/>
<text x="${PLOT.left - 8}" y="${y(ms) + 4}" text-anchor="end">${ms}</text>`;
  });
  const sizes = steps.map(({ rdmaDevices }) =>
    `<text x="${x(rdmaDevices).toFixed(1)}" y="${
      PLOT.bottom + 20
    }" text-anchor="middle">${rdmaDevices}</text>`
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">
<title>Milliseconds of one call over the number of RDMA devices of the node</title>
<style>
text { font: 13px sans-serif; fill: #57606a; }
.grid { stroke: #8b949e; stroke-opacity: 0.35; }
@media (prefers-color-scheme: dark) { text { fill: #adbac7; } }
</style>
<text x="${PLOT.left}" y="20">median ms of one call, emulated processor</text>
${levels.join("\n")}
${sizes.join("\n")}
<text x="${(PLOT.left + PLOT.right) / 2}" y="${
    PLOT.bottom + 42
  }" text-anchor="middle">RDMA devices (and as many links)</text>
${lines.join("\n")}
</svg>
`;
}

function between(from: number, to: number, part: number): number {
  return from + (to - from) * part;
}

/** The next of 100, 200, 400, 800 ...: quarters of it are whole. */
function niceAbove(value: number): number {
  return 100 * 2 ** Math.max(0, Math.ceil(Math.log2(value / 100)));
}
