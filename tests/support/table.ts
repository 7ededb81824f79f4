import { assertEquals, assertThrows } from "./assert.ts";

/** Asserts what a function makes of each input. A difference shows the input too. */
export function assertMakes<Input, Output>(
  make: (input: Input) => Output,
  rows: readonly (readonly [input: Input, output: Output])[],
): void {
  assertEquals(rows.map(([input]) => [input, make(input)]), rows.map((row) => [...row]));
}

/** Asserts that a function refuses each input with an error of the class that contains the text, and returns the errors. */
export function assertRefuses<Input, E extends Error>(
  work: (input: Input) => unknown,
  inputs: readonly Input[],
  errorClass: abstract new (...args: never[]) => E,
  part = "",
): E[] {
  return inputs.map((input) => assertThrows(() => work(input), errorClass, part, Deno.inspect(input)));
}
