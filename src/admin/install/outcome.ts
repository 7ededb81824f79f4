import { printJson, type Terminal } from "../terminal.ts";

/** How a command goes about it. */
export interface Options {
  /** Only tell what would be done. */
  readonly dryRun?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** What became of a file. */
export interface FileOutcome {
  readonly path: string;
  readonly state: "installed" | "replaced" | "already there" | "removed" | "in use" | "not there";
}

/** Tells people what became of a file. */
export function tellFile(terminal: Terminal, { path, state }: FileOutcome, { dryRun }: Options): void {
  const isDone = dryRun !== true || state.endsWith("there");
  terminal.err(`${path}: ${isDone ? state : `would be ${state}`}\n`);
}

/** Tells machines, if they want it, what became of all files. */
export function printOutcome(
  terminal: Terminal,
  files: readonly FileOutcome[],
  { dryRun = false, json = false }: Options,
): void {
  if (json) printJson(terminal, { dryRun, files });
}
