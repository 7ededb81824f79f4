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

/** The same cast without longer pauses than so many seconds. */
export function cutIdle(cast: Cast, longest: number): Cast {
  let before = 0;
  let now = 0;
  const events = cast.events.map(([seconds, text]): [number, string] => {
    now += Math.min(seconds - before, longest);
    before = seconds;
    return [now, text];
  });
  return { ...cast, events };
}
