// The completion scripts, in the shells they are for.
import { assertEquals, assertMatch } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";

/** Runs a shell that finds the executable as rdma-cni. */
async function shell(program: string, args: string[]): Promise<string> {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.symlink(PROGRAM, `${directory}/rdma-cni`);
    const env = { PATH: `${directory}:/usr/bin:/bin`, HOME: directory, TERM: "dumb", LC_ALL: "C.UTF-8" };
    const command = new Deno.Command(program, { args, env, clearEnv: true, stdin: "null" });
    return new TextDecoder().decode((await command.output()).stdout);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const CASES = [
  ["", [
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
  ["pods -o ", ["json", "prometheus", "table", "wide", "yaml"]],
  ["gc --q", ["--quiet"]],
  ["version --o", ["--output"]],
  ["validate --s", ["--strict"]],
  ["completion ", ["bash", "fish", "zsh"]],
] as const;

for (const [line, words] of CASES) {
  Deno.test(`bash completes "${line}" to ${words.join(", ")}`, async () => {
    const script = `
      source /usr/share/bash-completion/bash_completion
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

Deno.test("zsh completes what is typed at its prompt", async () => {
  // The completed line is run, so its answer tells; what is not completed is no command.
  const script = `
    zmodload zsh/zpty
    zpty inner zsh -f -i
    zpty -w inner 'autoload -U compinit; compinit -u; source <(rdma-cni completion zsh)'
    zpty -w inner $'rdma-cni netns-m\\tche\\t --exp\\tsha\\t; exit'
    while zpty -r inner line; do print -r -- "$line"; done`;
  const output = await shell("zsh", ["-f", "-c", script]);
  assertMatch(output, /\b(ok|failed): .*RDMA/);
});

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
    const lines = stdout.trimEnd().split("\n");
    assertMatch(lines.pop()!, /^:\d+$/);
    for (const line of lines) assertMatch(line, /^[\w-]+\t/);
  }
});
