/** Running commands: once, or with `--watch` again and again. */
import { Option } from "@commander-js/extra-typings";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { type CommandError, ExitCode, toCommandError } from "./errors.ts";
import { numberReader } from "./option_values.ts";
import type { Result, Terminal } from "./terminal.ts";

const readSeconds = numberReader("seconds", 0.1, 3600);

/**
 * The option, whose value is in milliseconds; undefined for once.
 *
 * @param what the work that the command does every so many seconds
 * @param seconds how many without a number
 */
export function watchOption(what: string, seconds: number) {
  return new Option("-w, --watch [SECONDS]", `${what} every so many seconds, ${seconds} if none are given`)
    .preset(`${seconds}`)
    .argParser((text) => 1000 * readSeconds(text));
}

/** The option of commands that show something. */
export const WATCH = watchOption("show it again", 2);

/** The way in which a command is run. */
export interface Mode {
  /** The pause between one time and the next; undefined for once. */
  readonly watch?: number | undefined;
  /** The results of all times stay on the terminal. */
  readonly isLog?: boolean;
}

/** The surroundings of a command that is run, and that sets the exit code. */
export interface Place {
  readonly kernel: Pick<NodeKernel, "delay">;
  readonly terminal: Terminal;
  readonly exit: (code: ExitCode) => void;
}

/**
 * Runs a command and prints its result, once or again and again until nobody reads the output any more; on a terminal
 * each time on an empty screen. Then a failure is printed and does not end it: its cause may have gone the next time.
 * The exit code is that of the last time.
 */
export async function perform(
  { kernel, terminal, exit }: Place,
  run: () => Result | Promise<Result>,
  { watch: pauseMs, isLog = false }: Mode = {},
): Promise<void> {
  if (pauseMs === undefined) return exit(terminal.print(await run()));
  const show = async () => {
    const result = await run();
    if (!isLog && terminal.columns !== undefined) terminal.clear();
    return terminal.print(result);
  };
  for (;;) {
    exit(await survive(terminal, show));
    if (terminal.isClosed) return;
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
    terminal.remark({ error: message ?? `${error}` });
    if (advice) terminal.remark({ error: advice });
    return ExitCode.failed;
  }
}
