// The completion scripts, in the shells they are for.
import { assertEquals, assertMatch, assertNotMatch } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { TestDirectory } from "../support/test_directory.ts";

/** Runs a shell that finds the executable as rdma-cni, in a directory with a file and a directory. */
async function shell(program: string, args: string[]): Promise<string> {
  using directory = new TestDirectory();
  const cwd = `${directory.path}/place`;
  await Deno.symlink(PROGRAM, `${directory.path}/rdma-cni`);
  await Deno.mkdir(`${cwd}/plugins.d`, { recursive: true });
  await Deno.writeTextFile(`${cwd}/network.conflist`, "{");
  const env = {
    ...{ PATH: `${directory.path}:/usr/bin:/bin`, HOME: directory.path },
    ...{ TERM: "dumb", NO_COLOR: "1", LC_ALL: "C.UTF-8" },
  };
  const { stdout, stderr } = await start({ program, args, env, cwd });
  return stdout + stderr;
}

/** Command lines without the program, and what completes them. */
const CASES: Record<string, string> = {
  "": "agent completion doctor gc help install netns-mode pods validate version vf-mac",
  "doc": "doctor",
  "netns-mode set ": "exclusive shared",
  "netns-mode set exclusive --p": "--persist",
  "vf-mac ": "help init list set",
  "doctor --summary -o ": "json npd table yaml",
  "pods -o ": "json prometheus table wide yaml",
  "pods -o json --w": "--watch",
  "completion ": "bash fish zsh",
  "vf-mac help i": "init",
  "validate net": "network.conflist",
  "install --cni-bin-dir ": "plugins.d/",
  "install --cni-bin-dir=pl": "--cni-bin-dir=plugins.d/",
  "pods --output=js": "--output=json",
};

Deno.test("fish completes commands, options, values, files and directories", async () => {
  const script = `
    rdma-cni completion fish | source; rdma-cni completion fish | source
    for line in $argv; echo "= $line"; complete --do-complete "rdma-cni $line"; end`;
  const output = await shell("fish", ["--no-config", "-c", script, ...Object.keys(CASES)]);
  const completed = output.split(/^= /m).slice(1).map((text) => {
    const [line, ...rows] = text.replace(/\n$/, "").split("\n");
    return [line, rows.map((row) => row.split("\t")[0]!.trim()).sort().join(" ")];
  });
  assertEquals(Object.fromEntries(completed), CASES);
});

/** What shells do at a prompt where their script was sourced twice, which prints nothing. */
const PROMPTS = {
  bash: ["bash --norc -i", "source <(rdma-cni completion bash); source <(rdma-cni completion bash)"],
  zsh: [
    "zsh -f -i",
    "autoload -U compinit; compinit -u; source <(rdma-cni completion zsh); source <(rdma-cni completion zsh)",
  ],
} as const;

for (const [name, [start, source]] of Object.entries(PROMPTS)) {
  for (
    const [typed, wanted] of [
      // The completed line is run, so its answer tells.
      ["netns-m\\tche\\t --exp\\tsha\\t", /\b(ok|failed): .*RDMA/],
      ["validate net\\t", /problem +network\.conflist:1:2 /],
      ["install --check --cni-bin-dir pl\\t", /'plugins\.d\/?' is invalid\. Want an absolute path/],
      ["version --output=js\\t", /"version": "/],
    ] as const
  ) {
    Deno.test(`${name} completes ${typed} at its prompt`, async () => {
      const script = `
        zmodload zsh/zpty
        zpty inner ${start}
        zpty -w inner 'PS1=; ${source}'
        zpty -w inner $'rdma-cni ${typed.replaceAll("\\\\", "\\")}; exit'
        while zpty -r inner line; do print -r -- "$line"; done`;
      const output = (await shell("zsh", ["-f", "-c", script])).replaceAll("\r", "");
      assertMatch(output, wanted);
      assertNotMatch(output, /readonly|command not found/);
    });
  }
}

Deno.test("the zsh script can be installed as a file: its first line says what it completes", async () => {
  assertMatch((await start({ args: ["completion", "zsh"] })).stdout, /^#compdef rdma-cni\n/);
});
