/** The help of the commands as data, read from what they print. */
import { runCommand } from "../../src/cli/command.ts";
import { Terminal } from "../../src/cli/terminal.ts";
import { LinuxNodeKernel } from "../../src/kernel/linux.ts";

/** The program's name in its pages. */
export const PROGRAM = "rdma-cni";

/** A line of a list. At least two spaces separate a term from its text. */
export type Entry = readonly [term: string, text: string];

/** A text between two empty lines: a paragraph or a heading, and the indented list below it; one may be missing. */
export interface Block {
  readonly text: string;
  readonly list: readonly Entry[];
}

/** The help of a command. Terms are as it prints them: `--timeout <SECONDS>`, `[PF...]`. */
export interface Help {
  /** The words behind the program's name on a command line: `vf-mac set`. */
  readonly words: string;
  readonly description: string;
  readonly arguments: readonly string[];
  /** The arguments that have a description, and the options. */
  readonly parameters: readonly Entry[];
  readonly notes: readonly Block[];
  readonly exitCodes: readonly Entry[];
  readonly examples: readonly Entry[];
  /** The commands below it, without "help". */
  readonly subcommands: readonly Help[];
}

/** Reads the help of a command and of those below it; without words, of the program. */
export async function readHelp(...words: string[]): Promise<Help> {
  const [usage, description, ...blocks] = await readBlocks(...words);
  const headings = ["Arguments:", "Options:", "Commands:", "Exit codes:", "Examples:"];
  const [parameters, options, commands, exitCodes, examples] = headings.map((heading) =>
    blocks.find(({ text }) => text === heading)?.list ?? []
  );
  const names = commands!.map(([term]) => term.split(" ")[0]!).filter((name) => name !== "help");
  return {
    words: words.join(" "),
    description: description!.text.replaceAll("\n", " "),
    arguments: usage!.text.match(/<[^>]+>|\[(?!OPTIONS\]|COMMAND\])[^\]]+\]/g) ?? [],
    parameters: [...parameters!.map(([name, text]): Entry => [`<${name}>`, text]), ...options!],
    notes: blocks.filter(({ text }) => !headings.includes(text)),
    exitCodes: exitCodes!,
    examples: examples!,
    subcommands: await Promise.all(names.map((name) => readHelp(...words, name))),
  };
}

/** A command and all below it. */
export function treeOf(command: Help): Help[] {
  return [command, ...command.subcommands.flatMap(treeOf)];
}

/** Reads what a command prints as its help. */
export async function readBlocks(...words: string[]): Promise<Block[]> {
  const printed = new Printed();
  await runCommand(PROGRAM, [...words, "--help"], new LinuxNodeKernel(), printed);
  return printed.text.split(/\n{2,}/).map((block) => block.replace(/^\n|\n$/g, "")).filter(Boolean)
    .map((block) => {
      const lines = block.split("\n");
      const indented = lines.findIndex((line) => line.startsWith(" "));
      const end = indented < 0 ? lines.length : indented;
      return { text: lines.slice(0, end).join("\n"), list: parseList(lines.slice(end)) };
    });
}

function parseList(lines: readonly string[]): Entry[] {
  const entries: [string, string][] = [];
  for (const line of lines) {
    const [, term, text] = /^ +(\S.*?) {2,}(.+)$/.exec(line) ?? [];
    if (term !== undefined) entries.push([term, text!]);
    else entries.at(-1)![1] += `\n${line.trim()}`; // a long text goes on
  }
  return entries;
}

/** A terminal that keeps what is printed. */
class Printed extends Terminal {
  text = "";
  readonly showsProgress = false;
  readonly hasColor = false;
  readonly columns = Infinity;
  readonly isClosed = false;

  protected writeOut(text: string): void {
    this.text += text;
  }

  protected writeErr(text: string): void {
    this.text += text;
  }
}
