// The image's arguments: which command they stand for.
import { runEntrypoint } from "../../../src/cli/entrypoint.ts";
import { ExitCode } from "../../../src/cli/errors.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";

/** Returns the exit code, the command that was run, and what was printed besides. */
async function run(args: readonly string[]) {
  const terminal = new TestTerminal();
  let command: string | undefined;
  const code = await runEntrypoint(args, terminal, (line) => {
    command = line.join(" ");
    return Promise.resolve(ExitCode.partial);
  });
  return [code, command, terminal.stdout, terminal.stderr] as const;
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
    assertEquals(await run(args), [ExitCode.partial, command, "", ""]);
  });
}

Deno.test("the Go plugin's path of its file is accepted, and said to be ignored", async () => {
  for (const args of [["--rdma-cni-bin-file=/usr/bin/rdma"], ["--rdma-cni-bin-file", "/usr/bin/rdma"]]) {
    const [, command, , stderr] = await run(args);
    assertEquals(command, "install --wait");
    assertMatch(stderr, /^--rdma-cni-bin-file is ignored: .*\n$/);
  }
});

Deno.test("--help prints the list, and installs nothing", async () => {
  for (const args of [["-h"], ["--help"], ["--no-sleep", "--help"]]) {
    const [code, command, stdout, stderr] = await run(args);
    assertEquals([code, command, stderr], [ExitCode.ok, undefined, ""]);
    assertMatch(stdout, /--cni-bin-dir=DIR .*\(\/host\/opt\/cni\/bin\)\n/);
  }
});

Deno.test("wrong arguments are told with the list: exit code 1", async () => {
  const list = String.raw`\n {2}--no-sleep .*\n {2}--rdma-cni-bin-file=FILE .*\n {2}-h, --help `;
  const wrong = [["--sleep"], ["--no-sleep=yes"], ["--no-sleep", "install"], ["--cni-bin-dir"], ["-n"]];
  for (const args of wrong) {
    const [code, command, stdout, stderr] = await run(args);
    assertEquals([code, command, stdout], [ExitCode.failed, undefined, ""]);
    const named = args.at(-1)!.split("=")[0];
    assertMatch(stderr, new RegExp(`^.*${named}.*\\n(.*\\n)*?.*${list}`));
  }
});
