// What command lines have in common: forms of results and errors, --quiet, groups of commands.
import { runCommand } from "../../src/cli/command.ts";
import { ExitCode } from "../../src/cli/errors.ts";
import { configSchema } from "../../src/plugin/config/schema.ts";
import { MemoryNodeKernel } from "../rig/memory/node_kernel.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";
import { TestTerminal } from "../support/terminal.ts";
import { parseAll } from "../support/yaml.ts";

/** A node with three virtual functions. */
function nodeWithVfs(): MemoryNodeKernel {
  const kernel = new MemoryNodeKernel();
  kernel.addPf("eth0", 3);
  return kernel;
}

async function run(line: string | string[], kernel = new MemoryNodeKernel(), terminal = new TestTerminal()) {
  const words = typeof line === "string" ? line.split(" ").filter(Boolean) : line;
  const code = await runCommand("rdma-cni", words, kernel, terminal);
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

Deno.test("each form of a result has the same facts", async () => {
  const kernel = nodeWithVfs();
  const json = (await run("vf-mac list -o json", kernel)).stdout;
  assertEquals(JSON.parse(json).map(({ number }: { number: number }) => number), [0, 1, 2]);
  assertEquals(await run("vf-mac list --json", kernel), { code: 0, stdout: json, stderr: "" });
  assertEquals(parseAll((await run("vf-mac list -o yaml", kernel)).stdout), [JSON.parse(json)]);
  const table = (await run("vf-mac list", kernel)).stdout;
  assertEquals((await run("vf-mac list -o table", kernel)).stdout, table);
  assertMatch(
    (await run("vf-mac list -o wide", kernel)).stdout,
    /READY +DRIVER .* USED-BY-POD +USED-BY-HOST\neth0 /,
  );
});

Deno.test("where there is nothing to list there is a note, which --quiet leaves out, or an empty list", async () => {
  assertEquals(await run("vf-mac list"), { code: 0, stdout: "", stderr: "No virtual functions found\n" });
  assertEquals(await run("vf-mac list --quiet"), { code: 0, stdout: "", stderr: "" });
  assertEquals(await run("vf-mac list -o json"), { code: 0, stdout: "[]\n", stderr: "" });
  assertEquals(await run("vf-mac list -o yaml"), { code: 0, stdout: "---\n[]\n", stderr: "" });
});

Deno.test("help of a command that there is not is an error", async () => {
  const stderr = `rdma-cni: unknown command 'lst'\nSee "rdma-cni --help".\n`;
  assertEquals(await run("help lst"), { code: ExitCode.usage, stdout: "", stderr });
  assertMatch(
    (await run("help vf-mac lst")).stderr,
    /\nDid you mean list\? See "rdma-cni vf-mac --help"\.\n$/,
  );
});

Deno.test("help has the help of commands below commands", async () => {
  for (const line of ["help vf-mac set", "vf-mac help set"]) {
    assertEquals(await run(line), await run("vf-mac set --help"));
  }
  assertEquals(await run("help"), await run("--help"));
});

Deno.test("the names of physical functions complete", async () => {
  const complete = async (line: string) => (await run(`complete -- ${line} e`, nodeWithVfs())).stdout;
  for (const line of ["vf-mac list", "vf-mac list eth0", "vf-mac set", "vf-mac init --timeout 5"]) {
    assertEquals(await complete(line), "eth0\t\n");
  }
  for (const line of ["vf-mac set eth0", "pods", "vf-mac init --timeout"]) {
    assertEquals(await complete(line), "");
  }
});

Deno.test("help fits the terminal, whose width it uses", async () => {
  const wordsOf = (text: string) => text.split(/\s+/).join(" ");
  for (const columns of [80, 200]) {
    const lengths: number[] = [];
    for (const command of ["", "doctor", "install", "netns-mode set", "vf-mac init"]) {
      const terminal = Object.assign(new TestTerminal(), { columns });
      const { stdout } = await run(`${command} --help`, undefined, terminal);
      assertEquals(wordsOf(stdout), wordsOf((await run(`${command} --help`)).stdout));
      lengths.push(...stdout.split("\n").map((line) => line.length));
    }
    const longest = Math.max(...lengths);
    assert(longest <= columns && longest > columns - 10, `${longest}`);
  }
});

for (const line of ["", "vf-mac", "netns-mode"]) {
  Deno.test(`"${line}" alone prints its help to standard output`, async () => {
    const { code, stdout, stderr } = await run(line);
    assertEquals([code, stderr], [ExitCode.ok, ""]);
    assertEquals(stdout, (await run(`${line} --help`)).stdout);
    assertStringIncludes(stdout, `Usage: rdma-cni ${line}`);
  });
}

for (
  const [line, error, advice, code] of [
    ["vf-mac list eth7", 'Cannot use PF "eth7": there is no network interface of that name', /physical/, 1],
    ["vf-mac lst", "unknown command 'lst'", /^Did you mean list\? See "rdma-cni vf-mac --help"\.$/, 2],
    ["vf-mac list --frob", "unknown option '--frob'", /^See "rdma-cni vf-mac list --help"\.$/, 2],
    ["validate /no/such", 'Cannot check "/no/such": ENOENT (2), no such file or directory', undefined, 2],
  ] as const
) {
  Deno.test(`the error of "${line}" has the same keys in JSON and YAML, and the exit code of the one for people`, async () => {
    const forPeople = await run(line);
    assertEquals([forPeople.code, forPeople.stdout], [code, ""]);
    assertStringIncludes(forPeople.stderr, `rdma-cni: ${error}`);
    for (
      const [format, parse] of [["json", JSON.parse], ["yaml", (text: string) => parseAll(text)[0]]] as const
    ) {
      const outcome = await run(`${line} -o ${format}`);
      assertEquals([outcome.code, outcome.stderr], [code, ""]);
      const found = parse(outcome.stdout);
      assertEquals(Object.keys(found), ["error", "fix", "code"]);
      assertEquals(found.code, code);
      assertStringIncludes(found.error, error);
      if (advice) assertMatch(found.fix, advice);
      else assertEquals(found.fix, null);
    }
  });
}

const PAUSES_MS = { "vf-mac list --watch": 2000, "pods -w 0.5": 500, "doctor --watch=0.1": 100 };

for (const [line, pauseMs] of Object.entries(PAUSES_MS)) {
  Deno.test(`"${line}" pauses for ${pauseMs} ms, until nobody reads it`, async () => {
    const [kernel, terminal] = [nodeWithVfs(), new TestTerminal()];
    const pauses: number[] = [];
    kernel.delay = (milliseconds) => {
      pauses.push(milliseconds);
      terminal.isClosed = pauses.length === 2;
      return Promise.resolve();
    };
    await run(line, kernel, terminal);
    assertEquals(pauses, [pauseMs, pauseMs]);
  });
}

Deno.test("an error is told to people where standard output cannot be written to, and with --quiet", async () => {
  const terminal = Object.assign(new TestTerminal(), {
    writeOut() {
      throw new Error("full");
    },
  });
  const unwritten = await run("vf-mac list eth7 --json", undefined, terminal);
  for (const { code, stdout, stderr } of [unwritten, await run("vf-mac init eth7 --quiet --dry-run")]) {
    assertEquals([code, stdout], [ExitCode.failed, ""]);
    assertMatch(stderr, /^rdma-cni: Cannot use PF "eth7"/);
  }
});

/** The codes of each table in docs/commands.md. */
const TABLES = Deno.readTextFileSync(`${PROJECT}docs/commands.md`)
  .split(/^\| exit code .*$/m).slice(1)
  .map((text) => [...text.split("\n\n")[0]!.matchAll(/^\| (\d+) /gm)].map(([, code]) => Number(code)));

Deno.test("the first table of exit codes in the documents has all, each command's those that it can end with", () => {
  const [all, ...own] = TABLES;
  assertEquals(all, Object.values(ExitCode).sort());
  assert(own.length > 0);
  for (const codes of own) {
    assertEquals(codes, all!.filter((code) => codes.includes(code)));
    assert(codes.length > 0);
  }
});

Deno.test("a fault of this program is not shown as one of the file", async () => {
  const { safeParse } = configSchema;
  configSchema.safeParse = () => {
    throw new TypeError("injected");
  };
  try {
    const file = `${PROJECT}examples/roce.conflist`;
    const { code, stderr } = await run(["validate", file]);
    const wanted =
      /^rdma-cni: Cannot check "[^"]*examples\/roce\.conflist": injected\nThis is a fault of rdma-cni: please report it: TypeError: injected at .* at explainFaults .*\n$/;
    assertMatch(stderr, wanted);
    const { error, fix } = JSON.parse((await run(["validate", "--json", file])).stdout);
    assertEquals([code, `rdma-cni: ${error}\n${fix}\n`], [ExitCode.failed, stderr]);
  } finally {
    configSchema.safeParse = safeParse;
  }
});
