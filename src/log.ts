/** Lines for people who look for what went wrong. stdout belongs to the result, so they go to stderr and a file. */

import { toPrintable } from "./printable.ts";

export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;

export type LogLevel = typeof LOG_LEVELS[number];

/** Takes one whole line, its newline included. */
export type Sink = (line: string) => void;

/** A logger. Whatever happens to a line, logging never throws: a log line must not fail the call that it is about. */
export class Log {
  level: LogLevel = "info";
  /** Put at the end of each line: which container, namespace and interface it is about. */
  labels: Readonly<Record<string, string>> = {};
  readonly #sinks: Sink[];

  constructor(...sinks: Sink[]) {
    this.#sinks = sinks;
  }

  /** From now on lines go there too. */
  addSink(sink: Sink): void {
    this.#sinks.push(sink);
  }

  debug(msg: string): void {
    this.#write("debug", msg);
  }

  info(msg: string): void {
    this.#write("info", msg);
  }

  warning(msg: string): void {
    this.#write("warning", msg);
  }

  error(msg: string): void {
    this.#write("error", msg);
  }

  #write(level: LogLevel, msg: string): void {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(this.level)) return;
    const line = formatLine({ time: new Date().toISOString(), level, msg, ...this.labels });
    for (const sink of this.#sinks) {
      try {
        sink(line);
      } catch {
        // A full disk or a closed pipe: nothing can be said, and the call goes on.
      }
    }
  }
}

/** `key="value"` pairs in one line; values quoted as JSON, so that nothing a pod chose starts a line or does not print. */
function formatLine(fields: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return `${toPrintable(pairs.join(" "))}\n`;
}
