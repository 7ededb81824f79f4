/** The table of the commands as data: each command with all that its help says. */
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { createProgram } from "../../../src/cli/command.ts";
import { runEntrypoint } from "../../../src/cli/entrypoint.ts";
import { ExitCode } from "../../../src/cli/errors.ts";
import { Terminal } from "../../../src/cli/terminal.ts";
import { LinuxNodeKernel } from "../../../src/kernel/linux.ts";
import { type Block, type Entry, parseBlocks } from "./blocks.ts";

/** A command. Terms are as the help has them: `--timeout <SECONDS>`, `[PF...]`. */
export interface Described {
  /** What follows the program's name on a command line: `vf-mac set`. */
  readonly words: string;
  readonly description: string;
  readonly arguments: readonly string[];
  /** The arguments that have a description, and the options. */
  readonly parameters: readonly Entry[];
  readonly notes: readonly Block[];
  readonly exitCodes: readonly Entry[];
  readonly examples: readonly Entry[];
  /** Without the command "help". */
  readonly subcommands: readonly Described[];
}

/** The program's name in its pages. */
export const PROGRAM = "rdma-cni";

/** A terminal that keeps what is printed. */
class Printed extends Terminal {
  text = "";
  readonly showsProgress = false;
  readonly hasColor = false;
  readonly columns = undefined;
  readonly isClosed = false;

  protected writeOut(text: string): void {
    this.text += text;
  }

  protected writeErr(text: string): void {
    this.text += text;
  }
}

/** The program with all its commands. */
export function describeProgram(): Described {
  const printed = new Printed();
  const program = createProgram(PROGRAM, { kernel: new LinuxNodeKernel(), terminal: printed, exit() {} });
  return describe(program, "", (command) => {
    printed.text = "";
    command.outputHelp();
    return printed.text;
  });
}

function describe(
  command: CommandUnknownOpts,
  words: string,
  helpOf: (command: CommandUnknownOpts) => string,
): Described {
  const help = command.createHelp();
  // The library makes the help's first part from the table, and we add the second.
  const blocks = parseBlocks(helpOf(command).slice(command.helpInformation().length));
  const listBelow = (heading: string) =>
    blocks.filter(({ text }) => text === heading).flatMap(({ list }) => list);
  return {
    words,
    description: command.description(),
    arguments: help.subcommandTerm(command).match(/<[^>]+>|\[(?!options\])[^\]]+\]/g) ?? [],
    parameters: [
      ...help.visibleArguments(command).map((it): Entry => [`<${it.name()}>`, help.argumentDescription(it)]),
      ...help.visibleOptions(command).map((it): Entry => [it.flags, help.optionDescription(it)]),
    ],
    notes: blocks.filter(({ text }) => text !== "Exit codes:" && text !== "Examples:"),
    exitCodes: listBelow("Exit codes:"),
    examples: listBelow("Examples:"),
    subcommands: help.visibleCommands(command).filter((one) => one.name() !== "help")
      .map((one) => describe(one, `${words} ${one.name()}`.trim(), helpOf)),
  };
}

/** A command and all below it. */
export function treeOf(command: Described): Described[] {
  return [command, ...command.subcommands.flatMap(treeOf)];
}

/** What the image's entry point prints as its help. */
export async function describeEntrypoint(): Promise<Block[]> {
  const printed = new Printed();
  await runEntrypoint(["--help"], printed, () => Promise.resolve(ExitCode.ok));
  return parseBlocks(printed.text);
}
