import {
  EXIT_CODES,
  formatVerdicts,
  note,
  problem,
  type VerdictLine,
  warning,
  worstLevel,
} from "../../../src/cli/report.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";

const SUMMARY = { good: "This node is ready.", bad: "This node has" };
const LINES: VerdictLine[] = [
  { about: "kernel", level: "ok", text: "6.12" },
  { about: "mode", ...problem("shared", "change it") },
  { about: "networks", ...warning("odd key", "remove it") },
];

function print(lines: readonly VerdictLine[], hasColor: boolean): string {
  const terminal = Object.assign(new TestTerminal(), { hasColor });
  terminal.print({ text: formatVerdicts(lines, SUMMARY) });
  return terminal.stdout;
}

Deno.test("people get a line a verdict, what fixes it below, and the count", () => {
  assertEquals(
    print(LINES, false),
    `\
ok       kernel    6.12
problem  mode      shared
                   -> change it
warning  networks  odd key
                   -> remove it

This node has 1 problem and 1 warning.
`,
  );
});

Deno.test("on a narrow terminal a text goes on below itself, and what is for a shell stays one line", () => {
  const lines = [{
    about: "mode",
    ...problem("the mode of this node is shared", "echo exclusive is what we want"),
  }];
  const terminal = Object.assign(new TestTerminal(), { columns: 15 + 24 });
  terminal.print({ text: formatVerdicts(lines, SUMMARY) });
  const [first, second, fix] = terminal.stdout.split("\n");
  assertEquals([first, second, fix], [
    "problem  mode  the mode of this node is",
    "               shared",
    "               -> echo exclusive is what we want",
  ]);
  Object.assign(terminal, { columns: 15 + 23, stdout: "" });
  terminal.print({ text: formatVerdicts(lines, SUMMARY) });
  assertEquals(terminal.stdout.split("\n")[0], "problem  mode  the mode of this node is shared");
});

Deno.test("--quiet leaves only warnings and problems, and of a good node nothing", () => {
  const terminal = Object.assign(new TestTerminal(), { isQuiet: true });
  terminal.print({ text: formatVerdicts(LINES.slice(0, 1), SUMMARY) });
  assertEquals(terminal.stdout, "");
  terminal.print({ text: formatVerdicts(LINES, SUMMARY) });
  assertMatch(
    terminal.stdout,
    /^problem {2}mode .*\n.*\nwarning {2}networks [^]*\nThis node has 1 problem and 1 warning\.\n$/,
  );
});

Deno.test("a note is printed with its advice, and counts for nothing", () => {
  const lines = [{ about: "networks", ...note("unknown plugin", "move it") }];
  assertEquals(
    print(lines, false),
    `note     networks  unknown plugin\n${" ".repeat(19)}-> move it\n\n${SUMMARY.good}\n`,
  );
  assertEquals([worstLevel(lines), EXIT_CODES.note], ["ok", EXIT_CODES.ok]);
});

Deno.test("on a terminal the levels have colours, and nothing else changes", () => {
  const text = print(LINES, true);
  // deno-lint-ignore no-control-regex -- that is what colours are made of
  assertEquals(text.replaceAll(/\x1b\[\d+m/g, ""), print(LINES, false));
  assertEquals(text.split("\n")[1], "\x1b[31mproblem\x1b[0m  mode      shared");
});

for (
  const [lines, last] of [
    [[LINES[0]!], "This node is ready."],
    [[LINES[2]!, LINES[2]!], "This node has 2 warnings."],
    [[LINES[1]!, LINES[1]!], "This node has 2 problems."],
  ] as const
) {
  Deno.test(last, () => assertEquals(print(lines, false).trimEnd().split("\n").at(-1), last));
}

Deno.test("what came out of a file begins no line of its own, and sends nothing to the terminal", () => {
  const evil = "a\n::error::b\x1b[2J\x85";
  assertEquals(
    print([{ about: evil, ...problem(evil, evil) }], false).replace(/\n\n.*/s, ""),
    "problem  a\\n::error::b\\u001b[2J\\u0085  a\\n::error::b\\u001b[2J\\u0085\n" +
      `${" ".repeat(39)}-> a\\n::error::b\\u001b[2J\\u0085`,
  );
});
