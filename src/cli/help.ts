/** What help shows, and what a word that nobody knows leads to, on top of the library's own. */
import type { Command } from "@commander-js/extra-typings";

/** A command line without the program's name, and what it is for. */
export type Example = readonly [line: string, purpose: string];

// deno-lint-ignore no-explicit-any -- a command of whatever arguments and options
type AnyCommand = Command<any, any, any>;

/** Adds examples to the help of a command. */
export function addExamples(command: AnyCommand, examples: readonly Example[]): void {
  command.addHelpText("after", () => {
    const lines = examples.map(([line, purpose]) => [`${rootOf(command).name()} ${line}`, purpose] as const);
    const width = Math.max(...lines.map(([line]) => line.length));
    return ["", "Examples:", ...lines.map(([line, purpose]) => `  ${line.padEnd(width)}  ${purpose}`)].join(
      "\n",
    );
  });
}

/**
 * Makes a word below a command an unknown command, with the nearest one suggested, if it has a default command. The
 * library would hand the word to that as an argument.
 */
export function refuseUnknownCommands(command: AnyCommand): void {
  command.hook("preSubcommand", (parent) => {
    const [word] = parent.args;
    if (word === undefined || word.startsWith("-")) return;
    if (parent.commands.some((one) => one.name() === word || one.aliases().includes(word))) return;
    // What the library itself calls where there is no default command; its declarations leave it out.
    (parent as unknown as { unknownCommand(): never }).unknownCommand();
  });
}

function rootOf(command: AnyCommand): AnyCommand {
  return command.parent ? rootOf(command.parent) : command;
}
