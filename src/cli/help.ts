/** Examples in the help, which the library does not have. */
import type { Command } from "@commander-js/extra-typings";

/** A command line without the name of the program, and what it is for. */
export type Example = readonly [line: string, purpose: string];

// deno-lint-ignore no-explicit-any -- a command of whatever arguments and options
type AnyCommand = Command<any, any, any>;

/** Adds examples to the help of a command. */
export function addExamples(command: AnyCommand, examples: readonly Example[]): void {
  command.addHelpText("after", () => {
    const name = findRoot(command).name();
    const lines = examples.map(([line, purpose]) => [`${name} ${line}`, purpose] as const);
    const width = Math.max(...lines.map(([line]) => line.length));
    const texts = lines.map(([line, purpose]) => `  ${line.padEnd(width)}  ${purpose}`);
    return ["", "Examples:", ...texts].join("\n");
  });
}

function findRoot(command: AnyCommand): AnyCommand {
  return command.parent ? findRoot(command.parent) : command;
}
