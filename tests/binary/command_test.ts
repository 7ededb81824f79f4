// The commands that people type, as far as a machine without RDMA can run them.
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { parseAll } from "../support/yaml.ts";

const COMMANDS = [
  ...["", "netns-mode", "netns-mode get", "netns-mode set", "netns-mode check", "vf-mac", "vf-mac list"],
  ...["vf-mac set", "vf-mac init", "install", "pods", "doctor", "gc", "validate", "version", "completion"],
];

/** Commands whose examples end by themselves, whatever there is on this machine. */
const RUN = /^(netns-mode|vf-mac|install)/;

for (const command of COMMANDS) {
  Deno.test(`"${command} --help" has usage and examples, which are understood`, async () => {
    const { code, stdout, stderr } = await start({ args: [...command.split(" ").filter(Boolean), "--help"] });
    assertEquals([code, stderr], [0, ""]);
    assertStringIncludes(stdout, `Usage: rdma-cni ${command}`);
    const examples = stdout.split("\nExamples:\n")[1]!.match(/^ {2}rdma-cni .*/gm)!;
    for (const example of examples.filter(() => RUN.test(command))) {
      const [, ...words] = example.trim().split(/ {2,}/)[0]!.split(" ");
      const args = words.filter((word) => word !== "--watch"); // which would not end
      if (/ (set|init|install) /.test(`${example} `) && !args.includes("--dry-run")) args.push("--dry-run");
      const outcome = await start({ args });
      assert(outcome.code !== 2, `${example}: ${outcome.stderr}`);
    }
  });
}

for (
  const [line, words] of [
    ["frob", /unknown command 'frob'/],
    ["netns-mode set exclusve", /'exclusve'.*exclusive, shared/],
    ["netns-mode check --expect", /argument missing/],
    ["vf-mac init", /name physical functions, or give --all/],
    ["vf-mac init eth0 --all", /name physical functions, or give --all/],
    ["vf-mac list -w eth0", /'eth0' is invalid. Want seconds, from 0.1 to 3600/],
    ["install --cni-bin-dir opt/cni/bin", /'opt\/cni\/bin' is invalid. Want an absolute path/],
    ["install --force", /--force goes with --uninstall/],
    ["install --remove-on-exit", /--remove-on-exit goes with --wait/],
    ["install --wait --gc-interval 5", /--gc-interval is gone: "rdma-cni agent --gc-interval 15m"/],
    ["install --uninstall --check", /cannot be used with option '--check'/],
    ["install --uninstall --wait", /cannot be used with option '--wait'/],
    ["gc -w 900 --json", /--watch is gone: "rdma-cni agent --gc-interval 15m"/],
    ["doctor now", /too many arguments/],
    ["doctor --cni-bin-dir bin", /Want an absolute path/],
    ["completion csh", /'csh'.*bash, zsh, fish/],
    ["doctor -o wide", /'wide'.*table, json, yaml, npd/],
    ["doctor -o npd", /-o npd goes with --summary/],
    ["pods --json -o wide", /cannot be used with option '-o, --output/],
    ["pods --textfile /run", /--textfile is gone: "rdma-cni agent --metrics ADDRESS:PORT"/],
  ] as const
) {
  Deno.test(`"${line}" is a usage error: exit code 2, on standard error, with --json on standard output`, async () => {
    const { code, stdout, stderr, json } = await start({ args: line.split(" ") });
    const [told, other] = json ? [json.error, stderr] : [stderr, stdout];
    assertEquals([code, json !== undefined, other], [2, line.includes("--json"), ""], stderr);
    assertMatch(told, words);
  });
}

Deno.test("installed under another name, or called by a link, it is the same and calls itself so", async () => {
  using directory = new TestDirectory();
  for (const name of ["rdma", "rdma-link"]) {
    const program = `${directory.path}/${name}`;
    await Deno.symlink(PROGRAM, program);
    assertStringIncludes((await start({ program, args: ["--version"] })).stdout, `rdma-cni ${VERSION}\n`);
    const help = await start({ program, args: ["netns-mode", "--help"] });
    assertStringIncludes(help.stdout, `Usage: ${name} netns-mode`);
  }
});

Deno.test("version has the same facts in each form: what was built, and what it runs on", async () => {
  const { json } = await start({ args: ["version", "--json"] });
  const built = { version: VERSION, commit: json.commit, date: json.date };
  assertEquals(json, { ...built, runtime: `Deno ${Deno.version.deno}`, architecture: Deno.build.arch });
  // A tree without git cannot say of which commit it is.
  assertMatch(`${json.commit} ${json.date}`, /^([0-9a-f]{40}(-modified)? [-\dT:]+Z|unknown unknown)$/);
  const [first, ...more] = Object.entries(json).map(([key, value]) => `${key} ${value}\n`);
  const stdout = first!.replace("version", "rdma-cni") + more.join("");
  for (const args of [["version"], ["--version"], ["-V"]]) {
    assertEquals(await start({ args }), { code: 0, stdout, stderr: "", json: undefined });
  }
  assertEquals(parseAll((await start({ args: ["version", "-o", "yaml"] })).stdout), [json]);
});

Deno.test("output that nobody can read ends a command without a dump of the stack", async () => {
  for (const redirection of [">&-", ">/dev/full", "2>&-", "2>/dev/full"]) {
    const by = ["/bin/sh", "-c", `exec "$0" "$@" ${redirection}`];
    for (const line of ["--help", "netns-mode frob", "netns-mode check", "completion bash"]) {
      const { code, stdout, stderr } = await start({ args: line.split(" "), by });
      assert([0, 1, 2].includes(code), `${line}: exit code ${code}: ${stderr}`);
      assertEquals(/panicked|\n {4}at /.test(stdout + stderr), false, `${line} ${redirection}: ${stderr}`);
    }
  }
});

Deno.test("output whose reader has had enough, as head, is no fault", async () => {
  const by = ["/bin/bash", "-c", '"$0" "$@" | :; echo "exit ${PIPESTATUS[0]}" >&2'];
  for (const args of [["--help"], ["completion", "bash"]]) {
    assertEquals((await start({ args, by })).stderr, "exit 0\n");
  }
});

// script(1) gives its command a terminal.
const ON_TERMINAL = {
  program: "script",
  args: ["--quiet", "--return", "--command", `"${PROGRAM}" doctor`, "/dev/null"],
};

for (
  const [what, command, env, hasColor] of [
    ["on a terminal", ON_TERMINAL, {}, true],
    ["on a terminal with NO_COLOR", ON_TERMINAL, { NO_COLOR: "1" }, false],
    ["without a terminal", { program: PROGRAM, args: ["doctor"] }, {}, false],
  ] as [string, typeof ON_TERMINAL, Record<string, string>, boolean][]
) {
  Deno.test(`doctor ${what} has ${hasColor ? "" : "no "}colours`, async () => {
    const { program, args } = command;
    const { stdout } = await start({ program, args, env: { PATH: "/usr/bin:/bin", ...env } });
    assertStringIncludes(stdout, "problem");
    assertEquals([stdout.includes("\x1b[31mproblem"), stdout.includes("\x1b")], [hasColor, hasColor], stdout);
  });
}
