import type { NodeKernel } from "../kernel/kernel.ts";
import type { ExitCode } from "./errors.ts";

/** Where a command's words go. What is meant for machines goes to standard output, everything else to standard error. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Standard error is a terminal: progress may be drawn there. */
  readonly showsProgress: boolean;
  /** Standard output is a terminal, and NO_COLOR is not set. */
  readonly hasColor: boolean;
}

/** A value for machines, `--json` of every command. */
export function printJson(terminal: Terminal, value: unknown): void {
  terminal.out(JSON.stringify(value, null, 2) + "\n");
}

/** What commands work on. */
export interface Context {
  readonly kernel: NodeKernel;
  readonly terminal: Terminal;
  /** Called by a command with how it ended. */
  readonly exit: (code: ExitCode) => void;
}
