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
  /** How wide standard output is, in characters; undefined if it is no terminal. */
  readonly columns: number | undefined;
  /** Nobody reads standard output any more. */
  readonly isClosed: boolean;
  /** The command line has `--quiet`: nothing but errors is to go to standard error. */
  isQuiet: boolean;
}

/** Prints progress, or what is good to know, to standard error. */
export function printNote(terminal: Terminal, text: string): void {
  if (!terminal.isQuiet) terminal.err(text);
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
    if (!this.#isShown) return;
    const filled = Math.round(BAR_WIDTH * this.#done / Math.max(this.total, 1));
    const bar = "#".repeat(filled).padEnd(BAR_WIDTH, "-");
    this.terminal.err(`${CLEAR_LINE}[${bar}] ${this.#done}/${this.total} ${what}`);
  }

  /** Counts a step as done. */
  advance(): void {
    this.#done++;
  }

  /** Prints a note that stays. */
  note(line: string): void {
    printNote(this.terminal, this.#above(line));
  }

  /** Prints an error that stays. */
  error(line: string): void {
    this.terminal.err(this.#above(line));
  }

  #above(line: string): string {
    return `${this.#isShown ? CLEAR_LINE : ""}${line}\n`;
  }

  get #isShown(): boolean {
    return this.terminal.showsProgress && !this.terminal.isQuiet;
  }
}
