/** A recording of a terminal: what was printed, and when, in seconds since the start. */
export interface Cast {
  /** Columns and lines of the terminal. */
  width: number;
  height: number;
  title: string;
  events: [seconds: number, text: string][];
}

/** Reads asciinema's file format, version 2: a header, then a line of JSON for each event. @throws {SyntaxError} if it is not JSON */
export function parseCast(text: string): Cast {
  const [header, ...events] = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  const { width, height, title } = header;
  return { width, height, title, events: events.map(([seconds, , text]) => [seconds, text]) };
}

/** The same format as text. */
export function formatCast({ events, ...header }: Cast): string {
  const lines = events.map(([seconds, text]) => [Math.round(seconds * 1000) / 1000, "o", text]);
  return [{ version: 2, ...header }, ...lines].map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** Where the demo shows a command, or a heading with the command below it. */
const STEP = /^(?=\p{Cc}\[1m== )|^(?<!== .*\r\n)(?=\p{Cc}\[32m\$ )/mu;

/** Spreads what the demo printed over time: each command comes, with all that it prints, some seconds after the last. */
export function paceSteps(text: string, seconds: number): Cast["events"] {
  return text.split(STEP).map((step, i) => [i * seconds, step]);
}
