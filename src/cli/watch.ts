/** Running commands: once, or with `--watch` again and again. */
import { Option } from "@commander-js/extra-typings";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { messageOf } from "../sys/errno.ts";
import { CommandError, ExitCode, toCommandError } from "./errors.ts";
import { numberReader } from "./option_values.ts";
import type { Result, Terminal } from "./terminal.ts";

const readSeconds = numberReader("seconds", 0.1, 3600);

/** The option of commands that show something. Its value is in milliseconds; undefined for once. */
export const WATCH = new Option(
  "-w, --watch [SECONDS]",
  "show it again every so many seconds, 2 if none are given",
).preset("2").argParser((text) => 1000 * readSeconds(text));

/** The surroundings of a command that is run, and that sets the exit code. */
export interface Place {
  readonly kernel: Pick<NodeKernel, "delay">;
  readonly terminal: Terminal;
  readonly exit: (code: ExitCode) => void;
}

/** Makes the result of a command that failed. */
export function toResult(thrown: unknown): Result {
  const error = toCommandError(thrown);
  const { message, advice, exitCode: code } = error instanceof CommandError
    ? error
    : new CommandError(messageOf(error));
  return {
    code,
    value: { error: message, fix: advice ?? null, code },
    text: () => [{ refusal: message }, ...advice ? [{ error: advice }] : []],
  };
}

/**
 * Runs a command and prints its result, once or again and again until nobody reads the output any more; on a terminal
 * each time on an empty screen. Then a failure is printed and does not end it: its cause may have gone the next time.
 * The exit code is that of the last time.
 */
export async function perform(
  { kernel, terminal, exit }: Place,
  run: () => Result | Promise<Result>,
  { watch: pauseMs }: { readonly watch?: number | undefined } = {},
): Promise<void> {
  if (pauseMs === undefined) return exit(terminal.print(await run()));
  const show = async () => {
    try {
      const result = await run();
      if (terminal.columns !== undefined) terminal.clear();
      return terminal.print(result);
    } catch (error) {
      return terminal.print(toResult(error));
    }
  };
  for (;;) {
    exit(await show());
    if (terminal.isClosed) return;
    await kernel.delay(pauseMs);
  }
}
