/** Verdicts on things that a command examined. */
import { toPrintable } from "../printable.ts";
import { ExitCode } from "./errors.ts";
import { fill, LEAST_COLUMNS, type Line, type Screen } from "./terminal.ts";

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

/** A verdict, and the thing that it is about. */
export interface VerdictLine extends Verdict {
  readonly about: string;
}

/** The last line: a sentence if all is ok, or the beginning of one that ends with the numbers of problems. */
export interface Summary {
  readonly good: string;
  readonly bad: string;
}

const COLORS = { ok: "green", note: "cyan", warning: "yellow", problem: "red" } as const;
const LEVEL_WIDTH = "problem".length;

/**
 * Formats verdicts for people: a line for each, its fix below it, and at the end how many problems there are. With
 * `--quiet` only warnings and problems. On a terminal a long text goes on below itself, but no fix, which is for a shell.
 */
export function formatVerdicts(verdicts: readonly VerdictLine[], summary: Summary) {
  return ({ isQuiet, columns = Infinity }: Screen): Line[] => {
    const shown = verdicts.filter(({ level }) => !isQuiet || level === "warning" || level === "problem");
    if (isQuiet && shown.length === 0) return [];
    const abouts = shown.map(({ about }) => toPrintable(about));
    const width = Math.max(0, ...abouts.map((about) => about.length));
    const indent = " ".repeat(LEVEL_WIDTH + width + 4);
    const left = columns - indent.length;
    const lines = shown.flatMap(({ level, text, fix }, index): Line[] => {
      const [first, ...more] = left < LEAST_COLUMNS ? [text] : fill(text, left);
      return [
        {
          text: `${level.padEnd(LEVEL_WIDTH)}  ${abouts[index]!.padEnd(width)}  ${first}`,
          color: COLORS[level],
          colored: LEVEL_WIDTH,
        },
        ...more.map((part) => ({ text: indent + part })),
        ...fix === undefined ? [] : [{ text: `${indent}-> ${fix}` }],
      ];
    });
    return [...lines, { text: "" }, { text: summarize(shown, summary), color: COLORS[worstLevel(shown)] }];
  };
}

function summarize(lines: readonly VerdictLine[], { good, bad }: Summary): string {
  const counts = (["problem", "warning"] as const).flatMap((level) => {
    const count = lines.filter((line) => line.level === level).length;
    return count === 0 ? [] : [`${count} ${level}${count === 1 ? "" : "s"}`];
  });
  return counts.length === 0 ? good : `${bad} ${counts.join(" and ")}.`;
}
