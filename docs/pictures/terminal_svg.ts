import type { Cast } from "./cast.ts";
import { type Colour, type Span, Terminal } from "./terminal.ts";

/** Size of a character in the picture. */
const [CELL, LINE] = [8, 19];
const MARGIN = 12;
/** Seconds for which the whole recording stays before it starts again. */
const LAST = 8;

/** Colours, each on a light and on a dark page. */
const COLOURS: Record<Colour | "page" | "frame" | "text", [light: string, dark: string]> = {
  page: ["#ffffff", "#0d1117"],
  frame: ["#d0d7de", "#30363d"],
  text: ["#1f2328", "#e6edf3"],
  dim: ["#59636e", "#9198a1"],
  red: ["#cf222e", "#ff7b72"],
  green: ["#116329", "#3fb950"],
  yellow: ["#7d4e00", "#d29922"],
  blue: ["#0550ae", "#79c0ff"],
  magenta: ["#8250df", "#d2a8ff"],
  cyan: ["#1b7c83", "#56d4dd"],
};

/** Makes a class of the name of each colour. Shapes take it as `currentColor`, which every SVG viewer knows. */
function colourRules(page: 0 | 1): string {
  return Object.entries(COLOURS).map(([name, values]) => `.${name}{color:${values[page]}}`).join(" ");
}

/**
 * Draws a recorded terminal, as many lines as were printed. If they were not printed at once, the picture plays. Viewers
 * that do not play, and people who do not want motion, see all lines.
 */
export function terminalSvg(cast: Cast): string {
  const terminal = new Terminal(cast.width);
  const states = cast.events.map(([seconds, text]) => {
    terminal.write(text);
    return { seconds, count: terminal.lines.length };
  });
  const { lines } = terminal;
  const [width, height] = [cast.width * CELL + 2 * MARGIN, lines.length * LINE];
  const outer = height + 2 * MARGIN;
  const plays = states.at(-1)!.seconds > states[0]!.seconds;
  // The inner picture cuts off the cover, which moves down.
  const inner = `x="1" y="${MARGIN}" width="${width - 2}" height="${height}" viewBox="${1 - MARGIN} 0 ${
    width - 2
  } ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${outer}" role="img">
<title>${escapeXml(cast.title)}</title>
<style>
text { font: 13.3px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: currentColor }
rect { fill: currentColor }
.bold { font-weight: bold }
${colourRules(0)}
@media (prefers-color-scheme: dark) { ${colourRules(1)} }
${plays ? motion(states) : ""}</style>
<rect class="frame" x="0" y="0" width="${width}" height="${outer}" rx="8"/>
<rect class="page" x="1" y="1" width="${width - 2}" height="${outer - 2}" rx="7"/>
<svg class="text" ${inner}>
${lines.flatMap(drawLine).join("\n")}
${
    plays
      ? `<rect id="cover" class="page" x="${1 - MARGIN}" y="${height}" width="100%" height="100%"/>\n`
      : ""
  }</svg>
</svg>
`;
}

/** A cover hides the lines that are not printed yet, and moves down until it is below all. */
function motion(states: { seconds: number; count: number }[]): string {
  const last = states.at(-1)!;
  const duration = last.seconds + LAST;
  const frames = states.map(({ seconds, count }) =>
    `${Number((seconds / duration * 100).toFixed(2))}%{transform:translateY(${
      (count - last.count) * LINE
    }px)}`
  );
  return `#cover { animation: cover ${duration.toFixed(1)}s step-end infinite }
@keyframes cover { ${frames.join(" ")} }
@media (prefers-reduced-motion: reduce) { #cover { animation: none } }
`;
}

/** Words that one space separates stand together; whatever stands in columns has its place, whichever font there is. */
function drawLine(spans: Span[], row: number): string[] {
  return spans.flatMap(({ column, text, colour, bold }) =>
    Array.from(text.matchAll(/\S+(?: \S+)*/g), ({ 0: words, index }) => {
      const classes = [...(colour ? [colour] : []), ...(bold ? ["bold"] : [])].join(" ");
      const place = `x="${(column + index) * CELL}" y="${(row + 1) * LINE - 5}" textLength="${
        words.length * CELL
      }"`;
      return `<text ${place}${classes && ` class="${classes}"`}>${escapeXml(words)}</text>`;
    })
  );
}

/** Writes text as it stands in XML, attribute values included. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
