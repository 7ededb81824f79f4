/** `--watch`: commands that do their work again and again. */
import { Option } from "@commander-js/extra-typings";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { type CommandError, ExitCode, toCommandError } from "./errors.ts";
import { numberReader } from "./option_values.ts";
import type { Terminal } from "./terminal.ts";

const readSeconds = numberReader("seconds", 0.1, 3600);

/** What repeating needs. */
interface Repetition {
  readonly kernel: Pick<NodeKernel, "delay">;
  readonly terminal: Terminal;
}

/**
 * The option, whose value is in milliseconds; undefined for once.
 *
 * @param what what the command does every so many seconds
 * @param seconds how many without a number
 */
export function watchOption(what: string, seconds: number) {
  return new Option("-w, --watch [SECONDS]", `${what} every so many seconds, ${seconds} if none are given`)
    .preset(`${seconds}`)
    .argParser((text) => 1000 * readSeconds(text));
}

/** The option of commands that show something. */
export const WATCH = watchOption("show it again", 2);

/**
 * Does the work once, or with a pause again and again. Then a failure is printed and does not end it: what it is about
 * may have changed the next time.
 *
 * @param pauseMs undefined for once; otherwise it returns when nobody reads the output any more
 * @returns the exit code of the last time
 */
export async function repeat(
  { kernel, terminal }: Repetition,
  pauseMs: number | undefined,
  work: () => ExitCode | Promise<ExitCode>,
): Promise<ExitCode> {
  if (pauseMs === undefined) return await work();
  for (;;) {
    const exitCode = await survive(terminal, work);
    if (terminal.isClosed) return exitCode;
    await kernel.delay(pauseMs);
  }
}

/** Does work that may fail, and prints why it has. */
export async function survive(
  terminal: Terminal,
  work: () => ExitCode | Promise<ExitCode>,
): Promise<ExitCode> {
  try {
    return await work();
  } catch (error) {
    const { message, advice } = toCommandError(error) as Partial<CommandError>;
    terminal.err(message ?? `${error}`);
    if (advice) terminal.err(advice);
    return ExitCode.failed;
  }
}

/** Repeats what reads something and shows it, on a terminal each time on an empty screen. */
export function watch<T>(
  repetition: Repetition,
  pauseMs: number | undefined,
  read: () => T | Promise<T>,
  show: (found: T) => ExitCode,
): Promise<ExitCode> {
  const { terminal } = repetition;
  return repeat(repetition, pauseMs, async () => {
    const found = await read();
    if (pauseMs !== undefined && terminal.columns !== undefined) terminal.clear();
    return show(found);
  });
}
