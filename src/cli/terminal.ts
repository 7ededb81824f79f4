/** What commands print to, and what they get. */
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { toPrintable } from "../printable.ts";
import type { ExitCode } from "./errors.ts";

const CLEAR_LINE = "\r\x1b[K";
const CLEAR_SCREEN = "\x1b[H\x1b[J";

/**
 * Where a command prints to: results to standard output, everything else to standard error.
 *
 * Whatever is printed for people becomes exactly one line, in which all that does not print is escaped. So no name that
 * a pod or a file chose begins a line of its own or controls the terminal, and no command has to think of it. Newlines,
 * colours and what else controls the terminal are written here alone.
 */
export abstract class Terminal {
  /** Standard error is a terminal, which can show progress. */
  abstract readonly showsProgress: boolean;
  /** Standard output is a terminal, and NO_COLOR is not set. */
  abstract readonly hasColor: boolean;
  /** How wide standard output is, in characters; undefined if it is no terminal. */
  abstract readonly columns: number | undefined;
  /** Nobody reads standard output any more. */
  abstract readonly isClosed: boolean;
  /** The command line has `--quiet`: nothing but errors is to go to standard error. */
  isQuiet = false;
  /** The last line on standard error is one that the next one replaces. */
  #showsBar = false;

  /** Write text as it is. */
  protected abstract writeOut(text: string): void;
  protected abstract writeErr(text: string): void;

  /** Prints a line of a result. @param color of its first `length` characters, by the numbers of ECMA-48 SGR */
  out(line: string, color?: number, length = Infinity): void {
    const text = toLine(line);
    const colored = `\x1b[${color}m${text.slice(0, length)}\x1b[0m${text.slice(length)}`;
    this.writeOut(`${this.hasColor && color !== undefined ? colored : text}\n`);
  }

  /** Prints a line to standard error. */
  err(line: string): void {
    this.writeErr(`${this.#showsBar ? CLEAR_LINE : ""}${toLine(line)}\n`);
    this.#showsBar = false;
  }

  /**
   * Prints a result as it is: data for programs, whose form has an escaping of its own, and texts of ours in which
   * nothing comes from outside.
   */
  raw(text: string): void {
    this.writeOut(text);
  }

  /** Shows a line that the next one replaces, where standard error is a terminal. */
  showBar(line: string): void {
    if (!this.showsProgress || this.isQuiet) return;
    this.writeErr(`${CLEAR_LINE}${toLine(line)}`);
    this.#showsBar = true;
  }

  /** Empties the screen. */
  clear(): void {
    this.writeOut(CLEAR_SCREEN);
  }
}

/** The newline at the end is that of the line; any other is escaped. */
function toLine(text: string): string {
  return toPrintable(text.replace(/\n$/, ""));
}

/** Prints what is good to know, a line, to standard error. */
export function printNote(terminal: Terminal, line: string): void {
  if (!terminal.isQuiet) terminal.err(line);
}

/** What a command gets. */
export interface Context {
  readonly kernel: NodeKernel;
  readonly terminal: Terminal;
  /** Sets the exit code. */
  readonly exit: (code: ExitCode) => void;
}

const BAR_WIDTH = 30;

/** The progress of a long command: on a terminal a bar below the lines that are printed meanwhile. */
export class Progress {
  #done = 0;

  constructor(readonly terminal: Terminal, readonly total: number) {}

  /** Shows what is being done. */
  show(what: string): void {
    const filled = Math.round(BAR_WIDTH * this.#done / Math.max(this.total, 1));
    const bar = "#".repeat(filled).padEnd(BAR_WIDTH, "-");
    this.terminal.showBar(`[${bar}] ${this.#done}/${this.total} ${what}`);
  }

  /** Counts a step as done. */
  advance(): void {
    this.#done++;
  }
}
