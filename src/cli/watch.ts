/** `--watch`: commands that show something show it again and again. */
import { InvalidArgumentError, Option } from "@commander-js/extra-typings";
import type { ExitCode } from "./errors.ts";
import type { Context } from "./terminal.ts";

const SECONDS = "2";
const CLEAR_SCREEN = "\x1b[H\x1b[J";

/** The command gets milliseconds, or undefined to show it once. */
export const WATCH = new Option(
  "-w, --watch [SECONDS]",
  `show it again every so many seconds, ${SECONDS} if none are given`,
).preset(SECONDS).argParser(parseSeconds);

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== "" && seconds >= 0.1 && seconds <= 3600) return seconds * 1000;
  throw new InvalidArgumentError("Want seconds, from 0.1 to 3600.");
}

/**
 * Reads something and shows it, once or with a pause again and again, on a terminal each time on an empty screen.
 *
 * @param pauseMs undefined for once; otherwise it returns when nobody reads the output any more
 * @returns the exit code of the last time
 */
export async function watch<T>(
  { kernel, terminal }: Pick<Context, "terminal"> & { readonly kernel: Pick<Context["kernel"], "delay"> },
  pauseMs: number | undefined,
  read: () => T | Promise<T>,
  show: (found: T) => ExitCode,
): Promise<ExitCode> {
  for (;;) {
    const found = await read();
    if (pauseMs !== undefined && terminal.columns !== undefined) terminal.out(CLEAR_SCREEN);
    const exitCode = show(found);
    if (pauseMs === undefined || terminal.isClosed) return exitCode;
    await kernel.delay(pauseMs);
  }
}
