import type { Answers, Dashboard, Panel } from "./dashboard.ts";
import type { Series } from "./prometheus.ts";
import { type Colour, COLOUR_RULES, escapeXml, framed } from "./svg.ts";

/** Size of a place on Grafana's grid of 24 columns, and the space between panels. */
const [COLUMN, ROW, GAP] = [50, 32, 8];
const HEADER = 44;
const LINE_COLOURS: Colour[] = ["green", "yellow", "blue", "red", "magenta", "cyan", "dim"];

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/**
 * Draws a dashboard of Grafana with what Prometheus answered to its expressions.
 *
 * @throws {Error} if an answer is missing, or if it has a kind of panel that cannot be drawn
 */
export function dashboardSvg({ title, panels }: Dashboard, answers: Answers): string {
  const rows = Math.max(...panels.map(({ gridPos: { y, h } }) => y + h));
  const [width, height] = [24 * COLUMN + GAP, HEADER + rows * ROW + GAP];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">
<title>${escapeXml(title)}</title>
<style>
text { font: 12px Inter, "Segoe UI", Helvetica, Arial, sans-serif; fill: currentColor }
.cell { font-size: 10.5px }
.heading { font-size: 13px; font-weight: 500 }
.number { font-size: 40px; font-weight: 600 }
rect, circle { fill: currentColor }
path { fill: none; stroke: currentColor }
.series { stroke-width: 1.6; stroke-linejoin: round }
.again { stroke-dasharray: 5 3 }
${COLOUR_RULES}
</style>
${framed(0, 0, width, height, 8)}
${text("text heading", 2 * GAP, 28, title)}
${panels.map((panel) => drawPanel(panel, answers)).join("\n")}
</svg>
`;
}

function drawPanel(panel: Panel, answers: Answers): string {
  const { x, y, w, h } = panel.gridPos;
  const box = {
    x: x * COLUMN + GAP,
    y: HEADER + y * ROW,
    width: w * COLUMN - GAP,
    height: h * ROW - GAP,
  };
  const draw = { stat: drawStat, table: drawTable, timeseries: drawTimeSeries }[panel.type];
  if (!draw) throw new Error(`Cannot draw panel "${panel.title}" of type "${panel.type}"`);
  return `${framed(box.x, box.y, box.width, box.height, 4)}
${text("text heading", box.x + 12, box.y + 22, panel.title)}
${draw(panel, box, answers)}`;
}

function answerTo({ title, targets: [target] }: Panel, { answers }: Answers): Series[] {
  const answer = answers[target!.expr];
  if (!answer) throw new Error(`No answer to the expression of panel "${title}": record it again`);
  return answer;
}

function drawStat(panel: Panel, { x, y, width, height }: Box, answers: Answers): string {
  const value = Number(answerTo(panel, answers)[0]!.values.at(-1)![1]);
  const { steps = [{ color: "green", value: null }] } = panel.fieldConfig.defaults.thresholds ?? {};
  const { color } = steps.findLast((step) => value >= (step.value ?? -Infinity))!;
  return text(`${color} number`, x + width / 2, y + height / 2 + 24, `${value}`, "middle");
}

/** The series that are there at the end, a column for each label. */
function drawTable(panel: Panel, { x, y, width }: Box, answers: Answers): string {
  const hidden = panel.transformations?.[0]?.options.excludeByName ?? {};
  const now = answerTo(panel, answers).filter(({ values }) => values.at(-1)![0] === answers.end);
  const labels = [...new Set(now.flatMap(({ metric }) => Object.keys(metric)))].filter((label) =>
    !hidden[label]
  ).sort();
  const cells = [labels, ...now.map(({ metric }) => labels.map((label) => metric[label] ?? ""))];
  const lengths = labels.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)) + 1);
  const unit = (width - 24) / lengths.reduce((sum, length) => sum + length, 0);
  let at = x + 12;
  return lengths.map((length, column) => {
    const left = at;
    at += length * unit;
    return cells.map((row, i) =>
      text(`cell ${i === 0 ? "dim" : "text"}`, left, y + 50 + i * 24, row[column]!)
    ).join(
      "\n",
    );
  }).join("\n");
}

function drawTimeSeries(panel: Panel, { x, y, width, height }: Box, answers: Answers): string {
  const [{ legendFormat } = { legendFormat: "" }] = panel.targets;
  const { start, end, step } = answers;
  const series = answerTo(panel, answers).map(({ metric, values }) => ({
    name: legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? ""),
    values: values.map(([seconds, value]): [number, number] => [seconds, Number(value)]),
  })).sort((a, b) => a.name < b.name ? -1 : 1);
  const legendRows = Math.ceil(series.length / 2);
  const plot = {
    left: x + 76,
    right: x + width - 16,
    top: y + 40,
    bottom: y + height - 34 - legendRows * 18,
  };
  const top = niceAbove(Math.max(1, ...series.flatMap(({ values }) => values.map(([, value]) => value))));
  const placeX = (seconds: number) =>
    plot.left + (plot.right - plot.left) * (seconds - start) / (end - start);
  const placeY = (value: number) => plot.bottom - (plot.bottom - plot.top) * value / top;
  const { unit } = panel.fieldConfig.defaults;
  const levels = [0, 1, 2, 3, 4].map((part) => top * part / 4).map((value) =>
    `<path class="frame" d="M${plot.left} ${round(placeY(value))}H${plot.right}"/>
${text("dim", plot.left - 8, placeY(value) + 4, formatValue(value, unit), "end")}`
  );
  const minutes = Array.from(
    { length: Math.floor(end / 60) - Math.ceil(start / 60) + 1 },
    (_, i) => (Math.ceil(start / 60) + i) * 60,
  ).map((seconds) =>
    text(
      "dim",
      placeX(seconds),
      plot.bottom + 18,
      new Date(seconds * 1000).toISOString().slice(11, 16),
      "middle",
    )
  );
  const lines = series.map(({ name, values }, i) => {
    const classes = `series ${LINE_COLOURS[i % LINE_COLOURS.length]}${
      i < LINE_COLOURS.length ? "" : " again"
    }`;
    const path = values.map(([seconds, value], i) => {
      const follows = i > 0 && seconds - values[i - 1]![0] <= step;
      return `${follows ? "L" : "M"}${round(placeX(seconds))} ${round(placeY(value))}`;
    }).join("");
    const left = x + 16 + (i % 2) * (width / 2 - 8);
    const line = y + height - legendRows * 18 + Math.floor(i / 2) * 18;
    return `<path class="${classes}" d="${path}"/>
<path class="${classes}" d="M${left} ${line - 4}h16"/>
${text("text", left + 24, line, name)}`;
  });
  return [...levels, ...minutes, ...lines].join("\n");
}

/** The next number whose quarters are easy to read. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 4, 8, 10].find((factor) => factor * power >= value)!;
}

function formatValue(value: number, unit: string): string {
  if (unit === "Bps") {
    const step = value === 0 ? 0 : Math.min(3, Math.floor(Math.log10(value) / 3));
    return `${value / 1000 ** step} ${["B/s", "kB/s", "MB/s", "GB/s"][step]}`;
  }
  return `${value}${unit === "cps" ? " c/s" : ""}`;
}

function text(classes: string, x: number, y: number, words: string, anchor?: "middle" | "end"): string {
  const anchored = anchor ? ` text-anchor="${anchor}"` : "";
  return `<text class="${classes}" x="${round(x)}" y="${round(y)}"${anchored}>${escapeXml(words)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
