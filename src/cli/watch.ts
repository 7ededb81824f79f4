/** `--watch`: commands that do their work again and again. */
import { InvalidArgumentError, Option } from "@commander-js/extra-typings";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import type { ExitCode } from "./errors.ts";
import type { Terminal } from "./terminal.ts";

/**
 * The option, whose value is in milliseconds.
 *
 * @param what what the command does every so many seconds
 * @param seconds how many without a number
 */
export function watchOption(what: string, seconds: number) {
  return new Option("-w, --watch [SECONDS]", `${what} every so many seconds`)
    .preset(seconds)
    .argParser(parseMilliseconds);
}

function parseMilliseconds(text: string): number {
  const seconds = Number(text);
  if (seconds >= 0.1 && seconds <= 3600) return 1000 * seconds;
  throw new InvalidArgumentError("Want seconds, from 0.1 to 3600.");
}

/**
 * Does the work once, or every `watchMs` milliseconds until nobody reads the output any more.
 *
 * @returns the exit code of the last time
 */
export async function repeat(
  kernel: Pick<NodeKernel, "delay">,
  terminal: Terminal,
  watchMs: number | undefined,
  work: () => ExitCode,
): Promise<ExitCode> {
  for (;;) {
    const exitCode = work();
    if (watchMs === undefined || terminal.isClosed) return exitCode;
    await kernel.delay(watchMs);
  }
}
