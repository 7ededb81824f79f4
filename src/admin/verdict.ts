/** "problem": pods get no RDMA, or a running one has lost it. "warning": it may come to that, or something is left over. */
export type Level = "ok" | "warning" | "problem";

/** What is said of one thing that was examined. */
export interface Verdict {
  readonly level: Level;
  readonly text: string;
  /** The command that mends it, or what else to do. */
  readonly mend?: string;
}

/** The worst level among verdicts. */
export function worstLevel(verdicts: readonly Verdict[]): Level {
  const has = (level: Level) => verdicts.some((verdict) => verdict.level === level);
  return has("problem") ? "problem" : has("warning") ? "warning" : "ok";
}

export function ok(text: string): Verdict {
  return { level: "ok", text };
}

export function warning(text: string, mend: string): Verdict {
  return { level: "warning", text, mend };
}

/** @param mend left out where the text says it already */
export function problem(text: string, mend?: string): Verdict {
  return { level: "problem", text, ...(mend === undefined ? {} : { mend }) };
}
