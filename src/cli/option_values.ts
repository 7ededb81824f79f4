/** Readers of the values of options. */
import { InvalidArgumentError } from "@commander-js/extra-typings";

/**
 * Makes a reader of numbers, for the command line's library.
 *
 * @param unit of all three numbers, for the error: "seconds"
 * @throws {InvalidArgumentError} by the reader
 */
export function numberReader(unit: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Want ${unit}, from ${least} to ${most}.`);
  };
}

/**
 * Reads an absolute path: a relative one could lead elsewhere in a container than on the node.
 *
 * @returns it without slashes at its end
 * @throws {InvalidArgumentError}
 */
export function readAbsolutePath(path: string): string {
  if (/^\/[^\0]*$/.test(path)) return path.replace(/\/+$/, "") || "/";
  throw new InvalidArgumentError("Want an absolute path.");
}
