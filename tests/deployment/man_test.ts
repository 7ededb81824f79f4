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
import { PROJECT } from "../support/project.ts";
import { TestTerminal } from "../support/terminal.ts";

/** Writes the pages into a new directory. @returns their texts by file name */
async function writePages(time: number | undefined): Promise<Map<string, string>> {
  const temporary = Deno.makeTempDirSync();
  try {
    const directory = `${temporary}/new/man`;
    const files = await writeManPages(directory, time);
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [...files].sort());
    return new Map(files.map((file) => [file, Deno.readTextFileSync(`${directory}/${file}`)]));
  } finally {
    Deno.removeSync(temporary, { recursive: true });
  }
}

const PAGES = await writePages(86400);

/** Runs a program on a page. */
async function run(page: string, program: string, ...args: string[]) {
  const child = new Deno.Command(program, {
    args,
    env: { LC_ALL: "C.UTF-8", COLUMNS: "80" }, // man breaks lines for the terminal of who runs the tests
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(page));
  await writer.close();
  const { stdout, stderr } = await child.output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { stdout: decode(stdout), stderr: decode(stderr) };
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

/** A page as a terminal shows it, without fonts and line breaks. */
async function show(page: string): Promise<string> {
  return flat((await run(page, "groff", "-man", "-Tutf8", "-P-cbou")).stdout);
}

function flat(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

const SHOWN = new Map<string, string>();
for (const [file, page] of PAGES) SHOWN.set(file, await show(page));

/** The page that has a command: that of its first word, or else that of the program. */
function pageWith(words: string): string {
  return SHOWN.get(`rdma-cni-${words.split(" ")[0]}.8`) ?? SHOWN.get("rdma-cni.8")!;
}

Deno.test("each command that explains its exit codes has a page, and so have the program and the settings", () => {
  const commands = ["netns-mode", "vf-mac", "gc", "doctor", "pods", "validate", "install"];
  const names = ["rdma-cni.8", ...commands.map((name) => `rdma-cni-${name}.8`), "rdma-cni.conf.5"];
  assertEquals(names.filter((name) => !PAGES.has(name)), []);
});

for (const [file, page] of PAGES) {
  Deno.test(`man, groff and mandoc have nothing against ${file}`, async () => {
    assertEquals(await complaintsAbout(page), []);
  });

  Deno.test(`${file} has the version, the date and the names of the other pages`, () => {
    const shown = SHOWN.get(file)!;
    assertStringIncludes(shown, `rdma-cni ${VERSION} 1970-01-02`);
    const others = [...PAGES.keys()].filter((other) => other !== file);
    const seeAlso = shown.split(" SEE ALSO ")[1]!;
    assertEquals(others.filter((other) => !seeAlso.includes(other.replace(/\.(\d)$/, "($1)"))), []);
  });
}

for (
  const [what, from, to] of [
    ["a line that begins with a dot", "\nA record", "\n.A record"],
    ["a string that nobody has defined", "\\fB0", "\\*[zero]"],
    ["a paragraph right below a heading", '.SH "EXAMPLES"', '.SH "EXAMPLES"\n.PP'],
    ["an end without a beginning", ".YS", ".RE"],
  ] as const
) {
  Deno.test(`man, groff or mandoc complains about ${what}`, async () => {
    const page = PAGES.get("rdma-cni-gc.8")!;
    assertStringIncludes(page, from);
    const broken = page.replace(from, to);
    assert((await complaintsAbout(broken)).length > 0);
  });
}

/**
 * What a command's help says: paragraphs and the columns of lists, each without its first letter, which a page may
 * capitalize. Of examples only the command line counts, since another command may say something else about it.
 */
function partsOf(help: string): string[] {
  const [, ...blocks] = help.replaceAll(/<(\S+)>/g, "$1").split("\n\n");
  return blocks.flatMap((block) => {
    const [first, ...lines] = block.trim().split("\n");
    const columns = (line: string) => line.trim().split(/ {2,}/);
    switch (first) {
      case "Arguments:":
      case "Options:":
      case "Exit codes:":
        return lines.flatMap(columns);
      case "Examples:":
        return lines.map((line) => columns(line)[0]!);
      case "Commands:": // these say what their own help says
        return [];
      default:
        return [flat(block)];
    }
  }).map((part) => part.slice(1));
}

const terminal = new TestTerminal();
type Command = ReturnType<typeof createProgram>;

/** A command and those below it that the help shows, with what starts each. */
function commandsBelow(command: Command, words: string): { command: Command; words: string }[] {
  const visible = command.createHelp().visibleCommands(command) as unknown as Command[];
  return [
    { command, words },
    ...visible.filter((one) => one.name() !== "help").flatMap((one) =>
      commandsBelow(one, `${words} ${one.name()}`.trim())
    ),
  ];
}

const program = createProgram("rdma-cni", { kernel: new MemoryNodeKernel(), terminal, exit() {} })
  .configureOutput({ getOutHelpWidth: () => 1000, writeOut: (text) => terminal.raw(text) });

for (const { command, words } of commandsBelow(program, "")) {
  const name = `rdma-cni ${words}`.trim();
  Deno.test(`the page of ${name} says all that its help says`, () => {
    terminal.stdout = "";
    command.outputHelp();
    const parts = partsOf(terminal.stdout);
    assert(parts.length > 3);
    const shown = pageWith(words);
    assertEquals(parts.filter((part) => !shown.includes(part)), []);
  });

  Deno.test(`the page of ${name} has each of its options that are not hidden, in the synopsis too`, () => {
    const [, synopsis] = /SYNOPSIS (.*) DESCRIPTION /.exec(pageWith(words))!;
    const own = synopsis!.split(/(?=rdma-cni )/).map((line) => line.trim());
    for (const { flags, long, hidden } of command.options) {
      if (hidden) continue;
      assertStringIncludes(pageWith(words), flags.replaceAll(/[<>]/g, ""));
      if (words !== "") assert(own.some((line) => line.startsWith(name) && line.includes(`[${long}`)), long);
    }
  });
}

const help = await readHelp();

Deno.test("the help of the program, and so its page, explains every exit code", () => {
  const codes = help.exitCodes.map(([code]) => Number(code));
  assertEquals(codes, Object.values(ExitCode));
});

Deno.test("the page of the program has the words of the image's entry point", () => {
  assertMatch(
    SHOWN.get("rdma-cni.8")!,
    /entrypoint.* --cni-bin-dir=DIR .* --no-sleep .* --rdma-cni-bin-file=FILE /,
  );
});

Deno.test("files and variables are those of commands that there are, and stand in their pages", () => {
  const commands = help.subcommands.flatMap(treeOf).map(({ words }) => words);
  for (const [title, resources] of [["FILES", FILES], ["ENVIRONMENT", ENVIRONMENT]] as const) {
    for (const { name, commands: users } of resources) {
      assertEquals(users.filter((user) => !commands.includes(user)), []);
      for (const user of ["", ...users]) {
        assertMatch(pageWith(user), new RegExp(` ${title} .*${name.replaceAll(".", "\\.")} `));
      }
    }
  }
  assert(!SHOWN.get("rdma-cni-gc.8")!.includes("ENVIRONMENT"));
});

Deno.test("rdma-cni.conf(5) has each setting with its value and its description", () => {
  const { settings } = parseSettings(Deno.readTextFileSync(`${PROJECT}deployment/packages/rdma-cni.conf`));
  assert(settings.length > 0);
  for (const { name, value, description } of settings) {
    assertStringIncludes(SHOWN.get("rdma-cni.conf.5")!, flat(`${name}=${value} ${description}`));
  }
});

interface Schema {
  description?: string;
  default?: unknown;
  properties?: Record<string, Schema>;
}

Deno.test("rdma-cni.conf(5) has each key of the JSON Schema with its default and its description", () => {
  const schema = JSON.parse(Deno.readTextFileSync(`${PROJECT}docs/netconf.schema.json`));
  const [, shown] = SHOWN.get("rdma-cni.conf.5")!.split(" NETWORK CONFIGURATION ");
  const visit = ({ properties = {} }: Schema, before: string) => {
    for (const [word, key] of Object.entries(properties)) {
      const name = `${before}${word}`;
      visit(key, `${name}.`);
      if (key.description === undefined) continue;
      const start = shown!.indexOf(`${name} (`);
      assert(start >= 0, name);
      const entry = shown!.slice(start, start + 300);
      if (key.default !== undefined) assertStringIncludes(entry, `; default ${key.default}) `);
      assertStringIncludes(entry, `) ${key.description[0]!.toUpperCase()}${key.description.slice(1)}.`);
    }
  };
  visit(schema.$defs.rdma, "");
});

Deno.test("pages of a time that is not known have no date", async () => {
  for (const page of (await writePages(undefined)).values()) {
    assertStringIncludes(page.split("\n")[0]!, ' "" ');
  }
});
