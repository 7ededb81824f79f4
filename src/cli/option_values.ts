/** Options that an earlier version had, and readers of the values of options. */
import { InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { CommandError, ExitCode } from "./errors.ts";

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

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Reads a time: "900s", "15m", "1h"; "0" is none.
 *
 * @returns milliseconds
 * @throws {InvalidArgumentError} also for more than a day
 */
export function readDuration(text: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)([smh])$/.exec(text) ?? [];
  const milliseconds = text === "0" ? 0 : Number(number) * UNITS_MS[unit]!;
  if (milliseconds >= 0 && milliseconds <= 24 * UNITS_MS.h!) return milliseconds;
  throw new InvalidArgumentError("Want a time of at most a day with its unit, such as 15m or 900s, or 0.");
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

/**
 * Makes a hidden option of one that an earlier version had. Whoever gives it is told what took its place.
 *
 * @param replacement the command line that does now what the option did, without the name of the program
 */
export function removedOption<const Flags extends string>(flags: Flags, replacement: string) {
  return new Option(flags).hideHelp().preset("").argParser((): undefined => {
    const [name] = /--[a-z-]+/.exec(flags)!;
    throw new CommandError(
      `Option ${name} is gone: "rdma-cni ${replacement}" takes its place`,
      "Run the agent, which does this besides answering CNI calls.",
      ExitCode.usage,
    );
  });
}
