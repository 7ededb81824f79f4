const [WIDTH, HEIGHT] = [800, 360];
const PLOT = { left: 56, right: 480, top: 40, bottom: 312 };
/** Seen on light and on dark ground. */
const COLOURS = ["#8b949e", "#2f81f7", "#e3702d", "#2da44e", "#a371f7", "#e5534b"];

/** What a chart shows. */
export interface Chart {
  title: string;
  /** What stands above the chart: what goes upwards, and its unit. */
  upwards: string;
  /** The same of what goes to the right. */
  rightwards: string;
  /** The values that are written below the chart, from the least to the greatest. */
  marks: number[];
  isLogarithmic: boolean;
  lines: Record<string, (readonly [x: number, y: number])[]>;
}

/** Draws a chart of lines as SVG. */
export function drawChart({ title, upwards, rightwards, marks, isLogarithmic, lines }: Chart): string {
  const top = niceAbove(Math.max(...Object.values(lines).flat().map(([, y]) => y)));
  const scale = isLogarithmic ? Math.log : (value: number) => value;
  const [least = NaN, most = NaN] = [marks[0], marks.at(-1)].map((mark) => scale(mark ?? NaN));
  const x = (value: number) => between(PLOT.left, PLOT.right, (scale(value) - least) / (most - least));
  const y = (value: number) => between(PLOT.bottom, PLOT.top, value / top);
  const drawn = Object.entries(lines).map(([name, points], i) => {
    const at = points.map((point) => `${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`);
    const legendY = PLOT.top + 14 + i * 24;
    return `<g stroke="${COLOURS[i % COLOURS.length]}" fill="none" stroke-width="2">
<polyline points="${at.join(" ")}"/>
<path d="M${PLOT.right + 24} ${legendY - 4}h24"/>
</g>
<text x="${PLOT.right + 56}" y="${legendY}">${escape(name)}</text>`;
  });
  const levels = [0, 1, 2, 3, 4].map((part) => {
    const level = (top * part) / 4;
    return `<path class="grid" d="M${PLOT.left} ${y(level)}H${PLOT.right}"/>
<text x="${PLOT.left - 8}" y="${y(level) + 4}" text-anchor="end">${level}</text>`;
  });
  const written = marks.map((mark) =>
    `<text x="${x(mark).toFixed(1)}" y="${PLOT.bottom + 20}" text-anchor="middle">${mark}</text>`
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">
<title>${escape(title)}</title>
<style>
text { font: 13px sans-serif; fill: #57606a; }
.grid { stroke: #8b949e; stroke-opacity: 0.35; }
@media (prefers-color-scheme: dark) { text { fill: #adbac7; } }
</style>
<text x="${PLOT.left}" y="20">${escape(upwards)}</text>
${levels.join("\n")}
${written.join("\n")}
<text x="${(PLOT.left + PLOT.right) / 2}" y="${PLOT.bottom + 42}" text-anchor="middle">${
    escape(rightwards)
  }</text>
${drawn.join("\n")}
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

function escape(text: string): string {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}
