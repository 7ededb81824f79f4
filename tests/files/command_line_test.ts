// What command lines have in common: forms of results and errors, --quiet, groups of commands.
import { runCommand } from "../../src/cli/command.ts";
import { ExitCode } from "../../src/cli/errors.ts";
import { MemoryNodeKernel } from "../rig/memory/node_kernel.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { TestTerminal } from "../support/terminal.ts";
import { parseAll } from "../support/yaml.ts";

/** A node with three virtual functions. */
function nodeWithVfs(): MemoryNodeKernel {
  const kernel = new MemoryNodeKernel();
  kernel.addPf("eth0", 3);
  return kernel;
}

async function run(line: string, kernel = new MemoryNodeKernel(), terminal = new TestTerminal()) {
  const code = await runCommand("rdma-cni", line.split(" ").filter(Boolean), kernel, terminal);
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
  assertMatch((await run("vf-mac list -o wide", kernel)).stdout, /READY +USED BY POD +USED BY HOST\neth0 /);
});

Deno.test("a table fits the terminal, and a wide one need not", async () => {
  const longest = async (line: string) => {
    const terminal = Object.assign(new TestTerminal(), { columns: 60 });
    const { stdout } = await run(line, nodeWithVfs(), terminal);
    return Math.max(...stdout.split("\n").map(({ length }) => length));
  };
  assert(await longest("vf-mac list") <= 60);
  assert(await longest("vf-mac list -o wide") > 60);
});

Deno.test("where there is nothing to list there is a note, which --quiet leaves out, or an empty list", async () => {
  assertEquals(await run("vf-mac list"), { code: 0, stdout: "", stderr: "No virtual functions found\n" });
  assertEquals(await run("vf-mac list --quiet"), { code: 0, stdout: "", stderr: "" });
  assertEquals(await run("vf-mac list -o json"), { code: 0, stdout: "[]\n", stderr: "" });
  assertEquals(await run("vf-mac list -o yaml"), { code: 0, stdout: "---\n[]\n", stderr: "" });
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
    [
      "vf-mac list eth7",
      'Cannot use PF "eth7": there is no network interface of that name',
      /no physical/,
      1,
    ],
    ["vf-mac lst", "unknown command 'lst'", /^Did you mean list\?$/, 2],
    ["vf-mac list --frob", "unknown option '--frob'", /^Try --help\.$/, 2],
    ["validate /no/such", 'Cannot check "/no/such": No such file', undefined, 2],
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
      assertEquals(Object.keys(found), ["error", "advice", "code"]);
      assertEquals(found.code, code);
      assertStringIncludes(found.error, error);
      if (advice) assertMatch(found.advice, advice);
      else assertEquals(found.advice, null);
    }
  });
}

for (
  const [line, pauseMs] of [["vf-mac list --watch", 2000], ["pods -w 0.5", 500], [
    "doctor --watch=0.1",
    100,
  ]] as const
) {
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

Deno.test("an error is told to people where standard output cannot be written to", async () => {
  const terminal = Object.assign(new TestTerminal(), {
    writeOut() {
      throw new Error("full");
    },
  });
  const { code, stderr } = await run("vf-mac list eth7 --json", undefined, terminal);
  assertEquals(code, ExitCode.failed);
  assertMatch(stderr, /^rdma-cni: Cannot use PF "eth7"/);
});

Deno.test("--quiet leaves the errors", async () => {
  const { code, stdout, stderr } = await run("vf-mac init eth7 --quiet --dry-run");
  assertEquals([code, stdout], [ExitCode.failed, ""]);
  assertMatch(stderr, /^rdma-cni: Cannot use PF "eth7"/);
});

Deno.test("--quiet leaves out notes", async () => {
  const line = "vf-mac init --all --dry-run";
  assertMatch((await run(line, nodeWithVfs())).stderr, /\d could not be\n$/);
  assertEquals((await run(`${line} -q`, nodeWithVfs())).stderr, "");
});
