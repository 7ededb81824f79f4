/** The pages of the program and of its commands. */
import { ENTRYPOINT } from "../../src/cli/entrypoint.ts";
import { type Block, type Entry, type Help, PROGRAM, readBlocks, readHelp, treeOf } from "./help.ts";
import { ENVIRONMENT, FILES, type Resource } from "./resources.ts";
import * as roff from "./roff.ts";

const PURPOSE = "CNI plugin for RDMA devices, and the commands that set up a node for it";

/** A paragraph about what a container runtime does with the program. */
const PLUGIN =
  `The program is a CNI plugin if CNI_COMMAND is set. In a chain it follows the plugin that moves the network interface into
the pod. It reads a network configuration from standard input, prints the result to standard output and logs to standard
error. The keys of the configuration are in rdma-cni.conf(5).`;

const COMMON_CODES = "Codes that are not explained here are those of rdma-cni(8).";

/** Makes the pages, that of the program first. It has the commands that have no page. */
export async function commandPages(): Promise<roff.Page[]> {
  const program = await readHelp();
  const pages = program.subcommands.filter(hasPage).map(commandPage);
  const others = program.subcommands.filter((command) => !hasPage(command)).flatMap(treeOf);
  const sections = [
    roff.section("SYNOPSIS", [
      roff.synopsis(PROGRAM, ["<COMMAND>", "[ARGUMENT...]"].map(roff.syntax)),
      ...others.map(formatSynopsis),
    ]),
    roff.section("DESCRIPTION", [...formatText(program), roff.paragraph(roff.prose(PLUGIN))]),
    roff.section("COMMANDS", [
      ...pages.map((page) => roff.item(roff.reference(page), roff.prose(roff.sentence(page.purpose)))),
      ...others.flatMap(formatSubcommand),
      roff.subsection(`${roff.bold(ENTRYPOINT)}, in the container image`),
      ...(await readBlocks(ENTRYPOINT)).flatMap(formatBlock),
    ]),
    roff.section("OPTIONS", formatList(program.parameters)),
    ...closingSections([program, ...others], () => true),
  ];
  return [{ name: PROGRAM, volume: 8, purpose: PURPOSE, sections }, ...pages];
}

/** A command has a page if its exit codes need explaining. */
function hasPage(command: Help): boolean {
  return treeOf(command).some(({ exitCodes }) => exitCodes.length > 0);
}

function commandPage(command: Help): roff.Page {
  const { words, description, parameters } = command;
  const [, ...below] = treeOf(command);
  const sections = [
    roff.section("SYNOPSIS", (below.length > 0 ? below : [command]).map(formatSynopsis)),
    roff.section("DESCRIPTION", formatText(command)),
    roff.section("COMMANDS", below.flatMap(formatSubcommand)),
    roff.section("OPTIONS", formatList(parameters)),
    ...closingSections([command, ...below], ({ commands }) => commands.includes(words)),
  ];
  return { name: `${PROGRAM}-${words}`, volume: 8, purpose: description, sections };
}

function formatSynopsis({ words, arguments: names, parameters }: Help): string {
  const options = parameters.filter(([term]) => term.startsWith("-") && !isHelp(term))
    .map(([flags]) => flags.replace(/^-\w, /, ""));
  const pieces = [...options.map((flags) => `[${roff.syntax(flags)}]`), ...names.map(roff.syntax)];
  return roff.synopsis(`${PROGRAM} ${words}`, pieces);
}

function formatSubcommand({ words, arguments: names, description, parameters, notes }: Help): string[] {
  return [
    roff.subsection([words, ...names].map(roff.syntax).join(" ")),
    ...formatText({ description, notes: [] }),
    ...formatList(parameters.filter(([term]) => !isHelp(term))),
    ...notes.flatMap(formatBlock),
  ];
}

/** Every command has this option. */
function isHelp(term: string): boolean {
  return term.endsWith("--help");
}

function formatText({ description, notes }: Pick<Help, "description" | "notes">): string[] {
  return [roff.paragraph(roff.prose(roff.sentence(description))), ...notes.flatMap(formatBlock)];
}

function formatBlock({ text, list }: Block): string[] {
  return [...text === "" ? [] : [roff.paragraph(roff.prose(text))], ...formatList(list)];
}

function formatList(list: readonly Entry[]): string[] {
  return list.map(([term, text]) =>
    roff.item(/^[-<]/.test(term) ? roff.syntax(term) : roff.bold(term), roff.prose(roff.sentence(text)))
  );
}

/**
 * The sections behind the options.
 *
 * @param commands the page's own, and those that have a place in it
 */
function closingSections(commands: readonly Help[], isUsed: (resource: Resource) => boolean): string[] {
  const [own, ...others] = commands as readonly [Help, ...Help[]];
  const exitCodes = [
    ...own.exitCodes.length === 0 ? [roff.paragraph(roff.prose(COMMON_CODES))] : formatList(own.exitCodes),
    ...others.filter((command) => command.exitCodes.length > 0).flatMap((command) => [
      roff.subsection(roff.bold(command.words)),
      ...formatList(command.exitCodes),
    ]),
  ];
  const format = (resources: readonly Resource[]) =>
    formatList(resources.filter(isUsed).map(({ name, text }) => [name, text]));
  // Several commands may have the same example.
  const all = commands.flatMap((command) => command.examples);
  const examples = all.filter(([line], i) => all.findIndex(([other]) => other === line) === i);
  return [
    roff.section("EXIT STATUS", exitCodes),
    roff.section("ENVIRONMENT", format(ENVIRONMENT)),
    roff.section("FILES", format(FILES)),
    roff.section("EXAMPLES", formatList(examples)),
  ];
}
