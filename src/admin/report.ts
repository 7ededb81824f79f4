import type { Terminal } from "./terminal.ts";
import { type Level, type Verdict, worstLevel } from "./verdict.ts";

/** A verdict, and what it is about. */
export interface Line extends Verdict {
  readonly about: string;
}

/** The last line: a sentence, and how the one begins that ends in the number of faults. */
export interface Summary {
  readonly good: string;
  readonly bad: string;
}

/** ECMA-48 SGR: green, yellow, red. */
const COLORS: Readonly<Record<Level, number>> = { ok: 32, warning: 33, problem: 31 };
const LEVEL_WIDTH = "problem".length;

/** Prints verdicts for people: a line each, below it what fixes it, and at the end how many faults there are. */
export function printVerdicts({ out, hasColor }: Terminal, lines: readonly Line[], summary: Summary): void {
  const paint = (level: Level, text: string) => hasColor ? `\x1b[${COLORS[level]}m${text}\x1b[0m` : text;
  const width = lines.reduce((widest, { about }) => Math.max(widest, escape(about).length), 0);
  for (const { about, level, text, fix } of lines) {
    out(`${paint(level, level.padEnd(LEVEL_WIDTH))}  ${escape(about).padEnd(width)}  ${escape(text)}\n`);
    if (fix !== undefined) out(`${" ".repeat(LEVEL_WIDTH + width + 4)}-> ${escape(fix)}\n`);
  }
  out(`\n${paint(worstLevel(lines), escape(summarize(lines, summary)))}\n`);
}

/** What comes out of files can neither begin a line of its own nor talk to the terminal. */
function escape(text: string): string {
  return text.replaceAll("\n", "\\n")
    .replace(/\p{Cc}/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function summarize(lines: readonly Line[], { good, bad }: Summary): string {
  const counts = (["problem", "warning"] as const).flatMap((level) => {
    const count = lines.filter((line) => line.level === level).length;
    return count === 0 ? [] : [`${count} ${level}${count === 1 ? "" : "s"}`];
  });
  return counts.length === 0 ? good : `${bad} ${counts.join(" and ")}.`;
}
