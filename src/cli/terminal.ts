/** The results and remarks of commands, and the terminal that prints them: it alone knows forms, colours and `--quiet`. */
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { toPrintable } from "../printable.ts";
import { ExitCode } from "./errors.ts";
import { type DataFormat, formatData } from "./output.ts";

const CLEAR_LINE = "\r\x1b[K";
const CLEAR_SCREEN = "\x1b[H\x1b[J";

/** Numbers of ECMA-48 SGR. */
const COLORS = { green: 32, yellow: 33, red: 31, cyan: 36 } as const;

/** A line of a result. */
export interface Line {
  readonly text: string;
  readonly color?: keyof typeof COLORS;
  /** The number of characters that have the colour; all by default. */
  readonly colored?: number;
}

/**
 * A line for standard error: an error, its first line ("refusal", which names the program), a warning, or a note, which
 * `--quiet` leaves out. A plan is the result of a dry run, on standard output. Beside data, which has all of this, only errors are printed.
 */
export type Remark =
  | { readonly error: string }
  | { readonly refusal: string }
  | { readonly warning: string }
  | { readonly note: string }
  | { readonly plan: string };

/** The properties of a terminal on which text depends. */
export interface Screen {
  /** The command line has `--quiet`. */
  readonly isQuiet: boolean;
  /** Characters in a line of standard output; undefined if it is no terminal. */
  readonly columns: number | undefined;
}

/** The outcome of a command. */
export interface Result {
  /** `ok` by default. */
  readonly code?: ExitCode;
  /** The result for programs; undefined where there is none, so that they get the text. */
  readonly value?: unknown;
  /** The result for people, and remarks in its place or beside it; a string is printed as it is. */
  readonly text?: string | ((screen: Screen) => readonly (Line | Remark)[]);
  /** Remarks beside the result. */
  readonly remarks?: readonly Remark[];
}

/** The means of long commands to say meanwhile what they do. */
export interface Reporter {
  remark(remark: Remark): void;
  /** Shows the progress where standard error is a terminal, below the lines that are printed meanwhile. */
  showProgress(done: number, total: number, what: string): void;
}

const BAR_WIDTH = 30;

/**
 * The terminal of a command, which prints results to standard output and everything else to standard error.
 *
 * Whatever is printed for people becomes exactly one line, in which all that does not print is escaped. So no name that
 * a pod or a file chose begins a line of its own or controls the terminal, and no command has to think of it. Newlines,
 * colours and what else controls the terminal are written here alone.
 */
export abstract class Terminal implements Screen, Reporter {
  /** Standard error is a terminal, which can show progress. */
  abstract readonly showsProgress: boolean;
  /** Standard output is a terminal, and NO_COLOR is not set. */
  abstract readonly hasColor: boolean;
  abstract readonly columns: number | undefined;
  /** Nobody reads standard output any more. */
  abstract readonly isClosed: boolean;
  isQuiet = false;
  /** The name that the program was called by. */
  program = "rdma-cni";
  /** The form of results; undefined for people. */
  format: DataFormat | undefined;
  /** The last line on standard error is one that the next one replaces. */
  #showsBar = false;

  /** Write text as it is. */
  protected abstract writeOut(text: string): void;
  protected abstract writeErr(text: string): void;

  /** Prints a result. @returns its exit code */
  print({ code = ExitCode.ok, value, text = () => [], remarks = [] }: Result): ExitCode {
    if (this.format !== undefined && value !== undefined) this.raw(formatData(this.format, value));
    else if (typeof text === "string") this.raw(text);
    else {
      for (const line of text(this)) {
        if ("text" in line) this.#out(line);
        else this.remark(line);
      }
    }
    for (const remark of remarks) this.remark(remark);
    return code;
  }

  remark(remark: Remark): void {
    if ("error" in remark) this.#err(remark.error);
    else if (this.format !== undefined) return;
    else if ("refusal" in remark) this.#err(`${this.program}: ${remark.refusal}`);
    else if ("plan" in remark) this.#out({ text: remark.plan });
    else if ("warning" in remark) this.#err(`warning: ${remark.warning}`);
    else if (!this.isQuiet) this.#err(remark.note);
  }

  /** Prints a text of ours, in which nothing comes from outside, or one whose form has an escaping of its own. */
  raw(text: string): void {
    this.writeOut(text);
  }

  showProgress(done: number, total: number, what: string): void {
    if (!this.showsProgress || this.isQuiet || this.format !== undefined) return;
    const bar = "#".repeat(Math.round(BAR_WIDTH * done / Math.max(total, 1))).padEnd(BAR_WIDTH, "-");
    this.writeErr(`${CLEAR_LINE}${toPrintable(`[${bar}] ${done}/${total} ${what}`)}`);
    this.#showsBar = true;
  }

  /** Empties the screen. */
  clear(): void {
    this.writeOut(CLEAR_SCREEN);
  }

  #out({ text, color, colored = Infinity }: Line): void {
    const line = toPrintable(text);
    const painted = color && `\x1b[${COLORS[color]}m${line.slice(0, colored)}\x1b[0m${line.slice(colored)}`;
    this.writeOut(`${this.hasColor && painted ? painted : line}\n`);
  }

  #err(text: string): void {
    this.writeErr(`${this.#showsBar ? CLEAR_LINE : ""}${toPrintable(text)}\n`);
    this.#showsBar = false;
  }
}

/** The surroundings of a command. */
export interface Context {
  readonly kernel: NodeKernel;
  readonly terminal: Terminal;
  /** Sets the exit code. */
  readonly exit: (code: ExitCode) => void;
}

/** The fewest columns that a text beside something else is put into. */
export const LEAST_COLUMNS = 24;

/** Puts the words of a text into lines of a width, or of a word that is longer. */
export function fill(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${line} ${word}`;
    } else lines.push(word);
  }
  return lines;
}
