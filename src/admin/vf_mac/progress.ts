import type { Terminal } from "../terminal.ts";

const WIDTH = 30;
const CLEAR_LINE = "\r\x1b[K";

/** What a long command is at: a bar on a terminal, below the lines; the lines alone elsewhere. */
export class Progress {
  #done = 0;

  constructor(readonly terminal: Terminal, readonly total: number) {}

  /** Says what is being done. */
  show(what: string): void {
    if (!this.terminal.showsProgress) return;
    const filled = Math.round(WIDTH * this.#done / Math.max(this.total, 1));
    const bar = "#".repeat(filled).padEnd(WIDTH, "-");
    this.terminal.err(`${CLEAR_LINE}[${bar}] ${this.#done}/${this.total} ${what}`);
  }

  /** One of the things is done. */
  advance(line: string): void {
    this.#done++;
    this.print(line);
  }

  /** Prints a line, which stays. */
  print(line: string): void {
    this.terminal.err(`${this.terminal.showsProgress ? CLEAR_LINE : ""}${line}\n`);
  }
}
