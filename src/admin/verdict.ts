import { ExitCode } from "./error.ts";

/** "problem": pods get no RDMA, or a running one has lost it. "warning": it may come to that, or something is left over. */
export type Level = "ok" | "warning" | "problem";

/** What is said of one thing that was examined. */
export interface Verdict {
  readonly level: Level;
  readonly text: string;
  /** The command that fixes it, or what else to do. */
  readonly fix?: string;
}

/** The worst level among verdicts. */
export function worstLevel(verdicts: readonly Verdict[]): Level {
  const has = (level: Level) => verdicts.some((verdict) => verdict.level === level);
  return has("problem") ? "problem" : has("warning") ? "warning" : "ok";
}

/** How a command ends whose worst verdict has this level. */
export const EXIT_CODES: Readonly<Record<Level, ExitCode>> = {
  ok: ExitCode.ok,
  warning: ExitCode.partial,
  problem: ExitCode.failed,
};

export function ok(text: string): Verdict {
  return { level: "ok", text };
}

export function warning(text: string, fix: string): Verdict {
  return { level: "warning", text, fix };
}

/** @param fix left out where the text says it already */
export function problem(text: string, fix?: string): Verdict {
  return { level: "problem", text, ...(fix === undefined ? {} : { fix }) };
}
