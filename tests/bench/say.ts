import type { NodeLine } from "./boot.ts";

/** Has the bench print what the program on the node does next. */
export function say(progress: string): void {
  print({ progress });
}

/** Hands over what was measured. */
export function printMeasured<T>(measured: T): void {
  print({ measured });
}

function print<T>(line: NodeLine<T>): void {
  console.log(JSON.stringify(line));
}
