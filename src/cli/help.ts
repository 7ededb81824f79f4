/** Help: examples and notes, which the library does not have, the command `help`, and lines that fit the terminal. */
import type { Command } from "@commander-js/extra-typings";
import { fill, LEAST_COLUMNS } from "./terminal.ts";
import { findNearest } from "./validate/keys.ts";

/** A command line without the name of the program, and what it is for. */
export type Example = readonly [line: string, purpose: string];

// deno-lint-ignore no-explicit-any -- a command of whatever arguments and options
export type AnyCommand = Command<any, any, any>;

export const HELP_COMMAND = "help";

/** Adds examples to the help of a command. */
export function addExamples(command: AnyCommand, examples: readonly Example[]): void {
  command.addHelpText("after", () => {
    const [name] = pathOf(command);
    const lines = examples.map(([line, purpose]) => [`${name} ${line}`, purpose] as const);
    const width = Math.max(...lines.map(([line]) => line.length));
    const texts = lines.map(([line, purpose]) => `  ${line.padEnd(width)}  ${purpose}`);
    return ["", "Examples:", ...texts].join("\n");
  });
}

/** Adds notes to the help of a command: paragraphs, and lists of indented lines. */
export function addNotes(command: AnyCommand, notes: string): void {
  command.addHelpText("after", notes.replaceAll(/(?<=\S)\n(?=\S)/g, " "));
}

/** Adds `help` to a command with others below it, in the place of the library's, which takes any word. */
export function addHelpCommand(command: AnyCommand): void {
  command.helpCommand(false);
  command.command(HELP_COMMAND)
    .description("print the help of a command")
    .argument("[COMMAND...]", "the command")
    .helpOption(false)
    .action((words: readonly string[]) => {
      let found = command;
      for (const word of words) {
        const below = found.commands.find((one) => one.name() === word);
        if (!below) {
          const nearest = findNearest(word, found.commands.map((one) => one.name()));
          return found.error(
            `error: unknown command '${word}'${nearest ? `\n(Did you mean ${nearest}?)` : ""}`,
          );
        }
        found = below;
      }
      found.help();
    });
}

/** The names of a command and of those above it, that of the program first. */
export function pathOf(command: AnyCommand): string[] {
  return [...command.parent ? pathOf(command.parent) : [], command.name()];
}

const BELOW = " ".repeat(6);

/**
 * Breaks lines so that they fit a width. What goes on of a list's line stands below its text, and all of it below its term
 * where the columns are too few for that.
 */
export function wrap(text: string, width: number): string {
  return text.split("\n").map((line) => {
    if (line.length <= width) return line;
    const [term] = /^ +\S.*? {2,}/.exec(line) ?? [""];
    if (width - term.length >= LEAST_COLUMNS) {
      return term + fill(line.slice(term.length), width - term.length)
        .join(`\n${" ".repeat(term.length)}`);
    }
    return [
      term.trimEnd(),
      ...fill(line.slice(term.length), width - BELOW.length).map((part) => BELOW + part),
    ]
      .join("\n");
  }).join("\n");
}
