/** What commands print to, and what they get. */
import type { NodeKernel } from "../kernel/node_kernel.ts";
import type { ExitCode } from "./errors.ts";

/** Where a command prints to: results to standard output, everything else to standard error. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Standard error is a terminal, which can show progress. */
  readonly showsProgress: boolean;
  /** Standard output is a terminal, and NO_COLOR is not set. */
  readonly hasColor: boolean;
  /** Nobody reads standard output any more. */
  readonly isClosed: boolean;
}

/** Prints the result of a command with `--json`. */
export function printJson(terminal: Terminal, value: unknown): void {
  terminal.out(formatJson(value));
}

/** A value as commands print it with `--json`. */
export function formatJson(value: unknown): string {
  return JSON.stringify(value, null, 2) + "\n";
}

/** What a command gets. */
export interface Context {
  readonly kernel: NodeKernel;
  readonly terminal: Terminal;
  /** Sets the exit code. */
  readonly exit: (code: ExitCode) => void;
}

const BAR_WIDTH = 30;
const CLEAR_LINE = "\r\x1b[K";

/** The progress of a long command: lines, and on a terminal a bar below them. */
export class Progress {
  #done = 0;

  constructor(readonly terminal: Terminal, readonly total: number) {}

  /** Shows what is being done. */
  show(what: string): void {
    if (!this.terminal.showsProgress) return;
    const filled = Math.round(BAR_WIDTH * this.#done / Math.max(this.total, 1));
    const bar = "#".repeat(filled).padEnd(BAR_WIDTH, "-");
    this.terminal.err(`${CLEAR_LINE}[${bar}] ${this.#done}/${this.total} ${what}`);
  }

  /** Counts a step as done. */
  advance(line: string): void {
    this.#done++;
    this.print(line);
  }

  /** Prints a line that stays. */
  print(line: string): void {
    this.terminal.err(`${this.terminal.showsProgress ? CLEAR_LINE : ""}${line}\n`);
  }
}
