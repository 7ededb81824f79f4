// The completion scripts, in the shells they are for.
import { assertEquals, assertMatch, assertNotMatch } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";

/** Runs a shell that finds the executable as rdma-cni, in a directory with a file and a directory. */
async function shell(program: string, args: string[]): Promise<string> {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.symlink(PROGRAM, `${directory}/rdma-cni`);
    await Deno.mkdir(`${directory}/place/plugins.d`, { recursive: true });
    await Deno.writeTextFile(`${directory}/place/network.conflist`, "{");
    const env = {
      PATH: `${directory}:/usr/bin:/bin`,
      HOME: directory,
      TERM: "dumb",
      NO_COLOR: "1",
      LC_ALL: "C.UTF-8",
    };
    const cwd = `${directory}/place`;
    const command = new Deno.Command(program, { args, env, cwd, clearEnv: true, stdin: "null" });
    const { stdout, stderr } = await command.output();
    return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const CASES = [
  ["", [
    "agent",
    "completion",
    "doctor",
    "gc",
    "help",
    "install",
    "netns-mode",
    "pods",
    "validate",
    "version",
    "vf-mac",
  ]],
  ["doc", ["doctor"]],
  ["net", ["netns-mode"]],
  ["netns-mode s", ["set"]],
  ["netns-mode set ", ["exclusive", "shared"]],
  ["netns-mode set exclusive --p", ["--persist"]],
  ["netns-mode check --expect ", ["exclusive", "shared"]],
  ["vf-mac ", ["help", "init", "list", "set"]],
  ["vf-mac init --d", ["--dry-run"]],
  ["vf-mac list --w", ["--watch"]],
  ["vf-mac list --output ", ["json", "table", "wide", "yaml"]],
  ["doctor --s", ["--summary"]],
  ["doctor --summary -o ", ["json", "npd", "table", "yaml"]],
  ["pods -o ", ["json", "prometheus", "table", "wide", "yaml"]],
  ["gc --q", ["--quiet"]],
  ["version --o", ["--output"]],
  ["validate --s", ["--strict"]],
  ["completion ", ["bash", "fish", "zsh"]],
  ["help v", ["validate", "version", "vf-mac"]],
  ["help vf-mac ", ["init", "list", "set"]],
  ["vf-mac help i", ["init"]],
  ["pods -o json --w", ["--watch"]],
  ["vf-mac set eth0 3 --g", ["--guid"]],
] as const;

for (const [line, words] of CASES) {
  Deno.test(`bash completes "${line}" to ${words.join(", ")}`, async () => {
    const script = `
      source <(rdma-cni completion bash)
      source <(rdma-cni completion bash)
      COMP_LINE="rdma-cni $1" COMP_POINT=\${#COMP_LINE}
      read -ra COMP_WORDS <<<"$COMP_LINE"
      [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=("")
      COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
      [[ $(complete -p rdma-cni) =~ -F\\ ([^ ]+) ]] && "\${BASH_REMATCH[1]}"
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const output = await shell("bash", ["--norc", "-c", script, "bash", line]);
    assertEquals(output.trim().split("\n").sort(), [...words]);
  });

  Deno.test(`fish completes "${line}" to ${words.join(", ")}`, async () => {
    const script = 'rdma-cni completion fish | source; complete --do-complete "rdma-cni $argv[1]"';
    const output = await shell("fish", ["--no-config", "-c", script, line]);
    assertEquals(output.trim().split("\n").map((row) => row.split("\t")[0]!).sort(), [...words]);
  });
}

Deno.test("fish completes files, directories, and values behind a flag", async () => {
  const complete = async (line: string) => {
    const source = "rdma-cni completion fish | source";
    const script = `${source}; ${source}; complete --do-complete "rdma-cni $argv[1]"`;
    const output = await shell("fish", ["--no-config", "-c", script, line]);
    return output.trim().split("\n").map((row) => row.split("\t")[0]!).sort();
  };
  assertEquals(await complete("validate net"), ["network.conflist"]);
  assertEquals(await complete("install --cni-bin-dir "), ["plugins.d/"]);
  assertEquals(await complete("install --cni-bin-dir=pl"), ["--cni-bin-dir=plugins.d/"]);
  assertEquals(await complete("pods --output=js"), ["--output=json"]);
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
  const { stdout } = await start({ args: ["completion", "zsh"] });
  assertMatch(stdout, /^#compdef rdma-cni\n/);
});

Deno.test("every suggestion is one line", async () => {
  for (
    const words of [[""], ["netns-mode", ""], ["netns-mode", "set", "--"], ["doctor", "--"], [
      "completion",
      "",
    ]]
  ) {
    const { code, stdout, stderr } = await start({ args: ["complete", "--", ...words] });
    assertEquals([code, stderr], [0, ""]);
    const lines = stdout.slice(0, -1).split("\n");
    for (const line of lines) assertMatch(line, /^[\w-]+\t/);
  }
});
