// The image's arguments: which command they stand for.
import { runEntrypoint } from "../../../src/cli/entrypoint.ts";
import { ExitCode } from "../../../src/cli/errors.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";

/** The exit code, the command that was run, and what was printed besides. */
async function run(...args: string[]) {
  const terminal = new TestTerminal();
  let command: readonly string[] | undefined;
  const code = await runEntrypoint(args, terminal, (line) => {
    command = line;
    return Promise.resolve(ExitCode.partial);
  });
  return { code, command, stdout: terminal.stdout, stderr: terminal.stderr };
}

for (
  const [args, command] of [
    [[], "install --wait"],
    [["--no-sleep"], "install"],
    [["--cni-bin-dir=/host/bin", "--no-sleep"], "install --cni-bin-dir /host/bin"],
    [["--cni-bin-dir", "/host/bin"], "install --cni-bin-dir /host/bin --wait"],
    [["install", "--check", "--wait"], "install --check --wait"],
    [["vf-mac", "init", "--all"], "vf-mac init --all"],
    [["--version"], "--version"],
  ] as const
) {
  Deno.test(`the image's arguments ${JSON.stringify(args)} run "${command}"`, async () => {
    assertEquals(await run(...args), {
      code: ExitCode.partial,
      command: command.split(" "),
      stdout: "",
      stderr: "",
    });
  });
}

Deno.test("the Go plugin's path of its file is accepted, and said to be ignored", async () => {
  for (const args of [["--rdma-cni-bin-file=/usr/bin/rdma"], ["--rdma-cni-bin-file", "/usr/bin/rdma"]]) {
    const { command, stderr } = await run(...args);
    assertEquals(command, ["install", "--wait"]);
    assertMatch(stderr, /^--rdma-cni-bin-file is ignored: .*\n$/);
  }
});

for (const args of [["-h"], ["--help"], ["--no-sleep", "--help"]]) {
  Deno.test(`the image's arguments ${JSON.stringify(args)} print the list, and install nothing`, async () => {
    const { code, command, stdout, stderr } = await run(...args);
    assertEquals([code, command, stderr], [ExitCode.ok, undefined, ""]);
    assertMatch(stdout, /--cni-bin-dir=DIR .*\(\/host\/opt\/cni\/bin\)\n/);
  });
}

for (
  const [args, words] of [
    [["--sleep"], /--sleep/],
    [["--no-sleep=yes"], /--no-sleep/],
    [["--no-sleep", "install"], /install/],
    [["--cni-bin-dir"], /--cni-bin-dir/],
    [["-n"], /-n/],
  ] as const
) {
  Deno.test(`the image's arguments ${JSON.stringify(args)} are wrong: exit code 1, and the list`, async () => {
    const { code, command, stdout, stderr } = await run(...args);
    assertEquals([code, command, stdout], [ExitCode.failed, undefined, ""]);
    assertMatch(stderr.split("\n")[0]!, words);
    assertMatch(stderr, /\n {2}--no-sleep .*\n {2}--rdma-cni-bin-file=FILE .*\n {2}-h, --help /);
  });
}
