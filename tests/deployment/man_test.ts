// The man pages: that roff accepts them, and that they say what the help, the settings file and the table of keys say.
import { writeManPages } from "../../deployment/man/man.ts";
import { readHelp, treeOf } from "../../deployment/man/help.ts";
import { ENVIRONMENT, FILES } from "../../deployment/man/resources.ts";
import { parseSettings } from "../../deployment/man/settings.ts";
import { createProgram } from "../../src/cli/command.ts";
import { ExitCode } from "../../src/cli/errors.ts";
import { VERSION } from "../../src/version.ts";
import { MemoryNodeKernel } from "../rig/memory/node_kernel.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { TestTerminal } from "../support/terminal.ts";

/** Writes the pages into a new directory. @returns their texts by file name */
async function writePages(time: number | undefined): Promise<Map<string, string>> {
  using temporary = new TestDirectory();
  const directory = `${temporary.path}/new/man`;
  const files = await writeManPages(directory, time);
  assertEquals(temporary.names("new/man"), [...files].sort());
  return new Map(files.map((file) => [file, Deno.readTextFileSync(`${directory}/${file}`)]));
}

const PAGES = await writePages(86400);

function run(page: string, program: string, ...args: string[]) {
  // man breaks lines for the terminal of who runs the tests
  return start({ program, args, stdin: page, env: { LC_ALL: "C.UTF-8", COLUMNS: "80", PATH: "/usr/bin" } });
}

/** What man, groff and mandoc find wrong with a page. Long lines in it are as good as short ones. */
async function complaintsAbout(page: string): Promise<string[]> {
  const printed = [
    (await run(page, "man", "--warnings", "--local-file", "-")).stderr,
    (await run(page, "groff", "-ww", "-man", "-Tutf8", "-z")).stderr,
    (await run(page, "mandoc", "-T", "lint")).stdout,
  ];
  return printed.join("").split("\n").filter((line) => line && !line.includes("longer than 80 bytes"));
}

const flat = (text: string) => text.replaceAll(/\s+/g, " ").trim();

/** The pages as a terminal shows them, without fonts and line breaks. */
const SHOWN = new Map<string, string>();
for (const [file, page] of PAGES) {
  SHOWN.set(file, flat((await run(page, "groff", "-man", "-Tutf8", "-P-cbou")).stdout));
}
const SETTINGS = SHOWN.get("rdma-cni.conf.5")!;

/** The page that has a command: that of its first word, or else that of the program. */
function pageWith(words: string): string {
  return SHOWN.get(`rdma-cni-${words.split(" ")[0]}.8`) ?? SHOWN.get("rdma-cni.8")!;
}

for (const [file, page] of PAGES) {
  Deno.test(`man, groff and mandoc have nothing against ${file}, which has version, date and the other pages`, async () => {
    assertEquals(await complaintsAbout(page), []);
    const shown = SHOWN.get(file)!;
    assertStringIncludes(shown, `rdma-cni ${VERSION} 1970-01-02`);
    const seeAlso = shown.split(" SEE ALSO ")[1]!;
    const others = [...PAGES.keys()].filter((other) => other !== file);
    assertEquals(others.filter((other) => !seeAlso.includes(other.replace(/\.(\d)$/, "($1)"))), []);
  });
}

Deno.test("pages of a time that is not known have no date", async () => {
  for (const page of (await writePages(undefined)).values()) assertMatch(page, /^[^\n]* "" /);
});

/**
 * What a command's help says: paragraphs and the columns of lists, each without its first letter, which a page may
 * capitalize. Of examples only the command line counts, since another command may say something else about it.
 */
function partsOf(help: string): string[] {
  const [, ...blocks] = help.replaceAll(/<(\S+)>/g, "$1").split("\n\n");
  return blocks.flatMap((block) => {
    const [first, ...lines] = block.trim().split("\n");
    const columns = lines.map((line) => line.trim().split(/ {2,}/));
    if (first === "Commands:") return []; // these say what their own help says
    if (first === "Examples:") return columns.map(([command]) => command!);
    return ["Arguments:", "Options:", "Exit codes:"].includes(first!) ? columns.flat() : [flat(block)];
  }).map((part) => part.slice(1));
}

const terminal = new TestTerminal();
type Command = ReturnType<typeof createProgram>;

/** A command and those below it that the help shows, with what starts each. */
function commandsBelow(command: Command, words: string): { command: Command; words: string }[] {
  const visible = command.createHelp().visibleCommands(command) as unknown as Command[];
  const below = visible.filter((one) => one.name() !== "help");
  return [
    { command, words },
    ...below.flatMap((one) => commandsBelow(one, `${words} ${one.name()}`.trim())),
  ];
}

const program = createProgram("rdma-cni", { kernel: new MemoryNodeKernel(), terminal, exit() {} })
  .configureOutput({ getOutHelpWidth: () => 1000, writeOut: (text) => terminal.raw(text) });

for (const { command, words } of commandsBelow(program, "")) {
  const name = `rdma-cni ${words}`.trim();
  Deno.test(`the page of ${name} says all that its help says, and has its options in the synopsis too`, () => {
    terminal.stdout = "";
    command.outputHelp();
    const [parts, shown] = [partsOf(terminal.stdout), pageWith(words)];
    assert(parts.length > 3);
    assertEquals(parts.filter((part) => !shown.includes(part)), []);
    const [, synopsis] = /SYNOPSIS (.*) DESCRIPTION /.exec(shown)!;
    const own = synopsis!.split(/(?=rdma-cni )/).map((line) => line.trim());
    for (const { flags, long } of command.options.filter(({ hidden }) => !hidden)) {
      assertStringIncludes(shown, flags.replaceAll(/[<>]/g, ""));
      if (words !== "") assert(own.some((line) => line.startsWith(name) && line.includes(`[${long}`)), long);
    }
  });
}

const help = await readHelp();

Deno.test("the page of the program explains every exit code, and the words of the image's entry point", () => {
  assertEquals(help.exitCodes.map(([code]) => Number(code)), Object.values(ExitCode));
  const words = /entrypoint.* --cni-bin-dir=DIR .* --no-sleep .* --rdma-cni-bin-file=FILE /;
  assertMatch(SHOWN.get("rdma-cni.8")!, words);
});

Deno.test("files and variables are those of commands that there are, and stand in their pages", () => {
  const commands = help.subcommands.flatMap(treeOf).map(({ words }) => words);
  for (const [title, resources] of [["FILES", FILES], ["ENVIRONMENT", ENVIRONMENT]] as const) {
    for (const { name, commands: users } of resources) {
      assertEquals(users.filter((user) => !commands.includes(user)), []);
      const place = new RegExp(` ${title} .*${name.replaceAll(".", "\\.")} `);
      for (const user of ["", ...users]) assertMatch(pageWith(user), place);
    }
  }
  assert(!pageWith("gc").includes("ENVIRONMENT"));
});

Deno.test("rdma-cni.conf(5) has each setting with its value and its description", () => {
  const { settings } = parseSettings(Deno.readTextFileSync(`${PROJECT}deployment/packages/rdma-cni.conf`));
  assert(settings.length > 0);
  for (const { name, value, description } of settings) {
    assertStringIncludes(SETTINGS, flat(`${name}=${value} ${description}`));
  }
});

interface Schema {
  description?: string;
  default?: unknown;
  properties?: Record<string, Schema>;
}

Deno.test("rdma-cni.conf(5) has each key of the JSON Schema with its default and its description", () => {
  const schema = JSON.parse(Deno.readTextFileSync(`${PROJECT}docs/netconf.schema.json`));
  const [, shown] = SETTINGS.split(" NETWORK CONFIGURATION ");
  const visit = ({ properties = {} }: Schema, before: string) => {
    for (const [word, key] of Object.entries(properties)) {
      const name = `${before}${word}`;
      visit(key, `${name}.`);
      if (key.description === undefined) continue;
      const start = shown!.indexOf(`${name} (`);
      const entry = shown!.slice(start, start + 300);
      assertStringIncludes(entry, `) ${key.description[0]!.toUpperCase()}${key.description.slice(1)}.`);
      if (key.default !== undefined) assertStringIncludes(entry, `; default ${key.default}) `);
    }
  };
  visit(schema.$defs.rdma, "");
});
