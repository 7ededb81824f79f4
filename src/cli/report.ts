/** Verdicts on things that a command examined, and how they are printed. */
import { toPrintable } from "../printable.ts";
import { ExitCode } from "./errors.ts";
import type { Terminal } from "./terminal.ts";

/**
 * "problem": pods get no RDMA, or a running one has lost it. "warning": this may happen, or something is left
 * over. "note": something to know that is as good as "ok".
 */
export type Level = "ok" | "note" | "warning" | "problem";

/** The verdict on one thing that was examined. */
export interface Verdict {
  readonly level: Level;
  readonly text: string;
  /** The command that fixes it, or other advice. */
  readonly fix?: string;
}

/** The worst level among verdicts; notes do not count. */
export function worstLevel(verdicts: readonly Verdict[]): Level {
  const has = (level: Level) => verdicts.some((verdict) => verdict.level === level);
  return has("problem") ? "problem" : has("warning") ? "warning" : "ok";
}

/** The exit code for the worst level. */
export const EXIT_CODES: Readonly<Record<Level, ExitCode>> = {
  ok: ExitCode.ok,
  note: ExitCode.ok,
  warning: ExitCode.partial,
  problem: ExitCode.failed,
};

export function ok(text: string): Verdict {
  return { level: "ok", text };
}

export function note(text: string, fix: string): Verdict {
  return { level: "note", text, fix };
}

export function warning(text: string, fix: string): Verdict {
  return { level: "warning", text, fix };
}

/** @param fix left out if the text says it */
export function problem(text: string, fix?: string): Verdict {
  return { level: "problem", text, ...(fix === undefined ? {} : { fix }) };
}

/** A verdict, and what it is about. */
export interface Line extends Verdict {
  readonly about: string;
}

/**
 * The last line: a sentence if all is ok, and the beginning of one that ends with the numbers of problems.
 */
export interface Summary {
  readonly good: string;
  readonly bad: string;
}

/** ECMA-48 SGR: green, cyan, yellow, red. */
const COLORS: Readonly<Record<Level, number>> = { ok: 32, note: 36, warning: 33, problem: 31 };
const LEVEL_WIDTH = "problem".length;

/**
 * Prints verdicts for people: a line for each, its fix below it, and at the end how many problems there are. With
 * `--quiet` only warnings and problems.
 */
export function printVerdicts(
  terminal: Terminal,
  verdicts: readonly Line[],
  summary: Summary,
): void {
  const isBad = ({ level }: Line) => level === "warning" || level === "problem";
  const lines = terminal.isQuiet ? verdicts.filter(isBad) : verdicts;
  if (terminal.isQuiet && lines.length === 0) return;
  const abouts = lines.map(({ about }) => toPrintable(about));
  const width = Math.max(0, ...abouts.map((about) => about.length));
  for (const [index, { level, text, fix }] of lines.entries()) {
    const line = `${level.padEnd(LEVEL_WIDTH)}  ${abouts[index]!.padEnd(width)}  ${text}\n`;
    terminal.out(line, COLORS[level], LEVEL_WIDTH);
    if (fix !== undefined) terminal.out(`${" ".repeat(LEVEL_WIDTH + width + 4)}-> ${fix}\n`);
  }
  terminal.out("\n");
  terminal.out(`${summarize(lines, summary)}\n`, COLORS[worstLevel(lines)]);
}

function summarize(lines: readonly Line[], { good, bad }: Summary): string {
  const counts = (["problem", "warning"] as const).flatMap((level) => {
    const count = lines.filter((line) => line.level === level).length;
    return count === 0 ? [] : [`${count} ${level}${count === 1 ? "" : "s"}`];
  });
  return counts.length === 0 ? good : `${bad} ${counts.join(" and ")}.`;
}
