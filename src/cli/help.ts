/** Examples in the help, and errors for unknown words, which the library does not have. */
import type { Command } from "@commander-js/extra-typings";

/** A command line without the name of the program, and what it is for. */
export type Example = readonly [line: string, purpose: string];

// deno-lint-ignore no-explicit-any -- a command of whatever arguments and options
type AnyCommand = Command<any, any, any>;

/** Adds examples to the help of a command. */
export function addExamples(command: AnyCommand, examples: readonly Example[]): void {
  command.addHelpText("after", () => {
    const lines = examples.map(([line, purpose]) => [`${rootOf(command).name()} ${line}`, purpose] as const);
    const width = Math.max(...lines.map(([line]) => line.length));
    const texts = lines.map(([line, purpose]) => `  ${line.padEnd(width)}  ${purpose}`);
    return ["", "Examples:", ...texts].join("\n");
  });
}

/**
 * Makes an unknown word after a command with a default subcommand an error that suggests the nearest
 * subcommand. The library would pass the word to the default subcommand as an argument.
 */
export function refuseUnknownCommands(command: AnyCommand): void {
  command.hook("preSubcommand", (parent) => {
    const [word] = parent.args;
    if (word === undefined || word.startsWith("-")) return;
    if (parent.commands.some((one) => one.name() === word || one.aliases().includes(word))) return;
    // The library calls this where there is no default subcommand; its declarations lack it.
    (parent as unknown as { unknownCommand(): never }).unknownCommand();
  });
}

function rootOf(command: AnyCommand): AnyCommand {
  return command.parent ? rootOf(command.parent) : command;
}
