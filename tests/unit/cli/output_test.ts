// What commands print: lines, tables, verdicts, and data for programs.
import fc from "fast-check";
import { findFormat } from "../../../src/cli/command.ts";
import { ExitCode } from "../../../src/cli/errors.ts";
import { formatYaml } from "../../../src/cli/output.ts";
import * as report from "../../../src/cli/report.ts";
import { formatTable, type Table } from "../../../src/cli/table.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { assertMakes } from "../../support/table.ts";
import { TestTerminal } from "../../support/terminal.ts";
import { parseAll } from "../../support/yaml.ts";

const { EXIT_CODES, formatVerdicts, ok, problem, warning, worstLevel } = report;

const terminalWith = (settings: Partial<TestTerminal & { isQuiet: boolean; format: "json" | "yaml" }>) =>
  Object.assign(new TestTerminal(), settings);

Deno.test("exit codes are the numbers that scripts rely on", () => {
  assertEquals({ ...ExitCode }, { ok: 0, failed: 1, usage: 2, partial: 3, rebootNeeded: 4 });
});

Deno.test("each line for people is one line, whatever is in it", () => {
  const terminal = new TestTerminal();
  const [evil, line] = ["device \x1b[2J\nforged\u202e\n", "device \\u001b[2J\\nforged\\u202e\\n\n"];
  terminal.print({ text: () => [{ text: evil }, { error: evil }], remarks: [{ note: evil }] });
  terminal.remark({ plan: evil });
  assertEquals([terminal.stdout, terminal.stderr], [line.repeat(2), line.repeat(2)]);
});

Deno.test("programs get the value alone, or text where there is none; only errors are beside either", () => {
  const terminal = terminalWith({ format: "json" });
  terminal.print({
    value: [1],
    text: () => [{ text: "one" }, { note: "note" }],
    remarks: [{ error: "fault" }, { refusal: "refusal" }, { warning: "warning" }, { plan: "plan" }],
  });
  terminal.print({ text: () => [{ text: "one" }] });
  assertEquals([terminal.stdout, terminal.stderr], ["[\n  1\n]\none\n", "fault\n"]);
});

Deno.test("--quiet leaves results, plans, warnings and errors", () => {
  const terminal = terminalWith({ isQuiet: true });
  terminal.print({ text: "result\n", remarks: [{ note: "note" }, { error: "fault" }, { plan: "plan" }] });
  terminal.remark({ warning: "reboot" });
  terminal.remark({ refusal: "Cannot" });
  const errors = "fault\nwarning: reboot\nrdma-cni: Cannot\n";
  assertEquals([terminal.stdout, terminal.stderr], ["result\nplan\n", errors]);
});

Deno.test("a colour is for the first characters, of which none is a control", () => {
  const terminal = terminalWith({ hasColor: true });
  terminal.print({
    text: () => [{ text: "problem  x\x1b", color: "red", colored: 7 }, { text: "\x1b", color: "yellow" }],
  });
  assertEquals(terminal.stdout, "\x1b[31mproblem\x1b[0m  x\\u001b\n\x1b[33m\\u001b\x1b[0m\n");
});

Deno.test("a bar is replaced by what is printed next, and has no controls of its own", () => {
  const terminal = terminalWith({ showsProgress: true });
  terminal.showProgress(0, 2, "eth0\x1b\n");
  terminal.remark({ error: "failed" });
  terminal.remark({ error: "failed too" });
  terminal.showProgress(1, 2, "eth1");
  assertEquals(
    terminal.stderr,
    `\r\x1b[K[${"-".repeat(30)}] 0/2 eth0\\u001b\\n\r\x1b[Kfailed\nfailed too\n` +
      `\r\x1b[K[${"#".repeat(15)}${"-".repeat(15)}] 1/2 eth1`,
  );
});

Deno.test("there is no bar where standard error is no terminal, nor with --quiet, nor beside data", () => {
  for (const more of [{ isQuiet: true }, { showsProgress: false }, { format: "json" as const }]) {
    const terminal = terminalWith({ showsProgress: true, ...more });
    terminal.showProgress(0, 2, "eth0");
    assertEquals(terminal.stderr, "");
  }
});

Deno.test("YAML is a stream of documents that have what the JSON has, without references and folded lines", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    assertEquals(parseAll(formatYaml(value)), [JSON.parse(JSON.stringify(value))]);
  }));
  const [shared, long] = [{ name: "net1" }, "word ".repeat(100).trim()];
  assertEquals(
    formatYaml({ a: shared, b: shared, long, none: undefined, nothing: [] }),
    `---\na:\n  name: net1\nb:\n  name: net1\nlong: ${long}\nnothing: []\n`,
  );
  const terminal = terminalWith({ format: "yaml" });
  for (const value of [[], [{ vf: 1 }]]) terminal.print({ value });
  assertEquals(parseAll(terminal.stdout), [[], [{ vf: 1 }]]);
});

Deno.test("a command line that cannot be parsed says all the same in which form its errors are wanted", () => {
  assertMakes((line) => findFormat(line.split(" ")), [
    ["pods", undefined],
    ["pods --json", "json"],
    ["pods --jsn --json", "json"],
    ["frob -o json", "json"],
    ["gc -qo json", "json"],
    ["gc -qoyaml", "yaml"],
    ["gc --output=json", "json"],
    ["gc -o wide", undefined],
    ["gc -o jsonl", undefined],
    ["gc --jsonl", undefined],
    ["validate o json", undefined],
  ]);
});

interface Item {
  readonly name: string;
  readonly state?: string;
}

const TABLE: Table<Item> = {
  columns: [["NAME", ({ name }) => name], ["STATE", ({ state }) => state]],
  wideColumns: [["LENGTH", ({ name }) => String(name.length)]],
  nothing: "No items found",
};

function printTable(items: readonly Item[], isWide = false, isQuiet = false) {
  // Nothing is cut on a narrow terminal.
  const terminal = terminalWith({ columns: 8, isQuiet });
  terminal.print({ text: formatTable(TABLE, items, isWide) });
  return [terminal.stdout, terminal.stderr];
}

Deno.test("a table has a dash for what is not known, a wide one more columns, and an empty one is a note", () => {
  const items = [{ name: "a-rather-long-name", state: "fine" }, { name: "short" }];
  const narrow = "NAME                STATE\na-rather-long-name  fine\nshort               -\n";
  const wide =
    "NAME                STATE  LENGTH\na-rather-long-name  fine   18\nshort               -      5\n";
  assertEquals([printTable(items), printTable(items, true)], [[narrow, ""], [wide, ""]]);
  assertEquals([printTable([]), printTable([], true)], Array(2).fill(["", "No items found\n"]));
  assertEquals(printTable([], false, true), ["", ""]);
});

Deno.test("columns stay aligned when names are escaped", () => {
  const unit = fc.oneof(
    fc.constantFrom("\n", "\x1b", "\u202e", "\ud83d", "😀"),
    fc.string({ unit: "binary", maxLength: 1 }),
  );
  const names = fc.array(fc.string({ unit, maxLength: 12 }), { minLength: 1, maxLength: 4 });
  fc.assert(fc.property(names, (names) => {
    const [heading, ...lines] = printTable(names.map((name) => ({ name, state: "|" })))[0]!.trimEnd().split(
      "\n",
    );
    const at = heading!.indexOf("STATE");
    assertEquals(lines.map((line) => line.slice(at - 2)), names.map(() => "  |"));
  }));
});

const GOOD = { about: "kernel", ...ok("6.12") };
const SHARED = { about: "mode", ...problem("shared", "change it") };
const ODD = { about: "networks", ...warning("odd key", "remove it") };

function printVerdicts(
  lines: readonly report.VerdictLine[],
  settings: Parameters<typeof terminalWith>[0] = {},
): string {
  const terminal = terminalWith(settings);
  const summary = { good: "This node is ready.", bad: "This node has" };
  terminal.print({ text: formatVerdicts(lines, summary) });
  return terminal.stdout;
}

Deno.test("people get a line a verdict, what fixes it below, and the count", () => {
  const lines = [GOOD, SHARED, ODD];
  const text = `\
ok       kernel    6.12
problem  mode      shared
                   -> change it
warning  networks  odd key
                   -> remove it

This node has 1 problem and 1 warning.
`;
  assertEquals(printVerdicts(lines), text);
  const colored = printVerdicts(lines, { hasColor: true });
  // deno-lint-ignore no-control-regex -- that is what colours are made of
  assertEquals(colored.replaceAll(/\x1b\[\d+m/g, ""), text);
  assertEquals(colored.split("\n")[1], "\x1b[31mproblem\x1b[0m  mode      shared");
  assertMatch(
    printVerdicts(lines, { isQuiet: true }),
    /^problem {2}mode .*\n.*\nwarning {2}networks [^]*\nThis node has 1 problem and 1 warning\.\n$/,
  );
  assertEquals(printVerdicts([GOOD], { isQuiet: true }), "");
  assertMakes((lines) => printVerdicts(lines).trimEnd().split("\n").at(-1), [
    [[GOOD], "This node is ready."],
    [[ODD, ODD], "This node has 2 warnings."],
    [[SHARED, SHARED], "This node has 2 problems."],
  ]);
});

Deno.test("on a narrow terminal a text goes on below itself, and what is for a shell stays one line", () => {
  const verdict = problem("the mode of this node is shared", "echo exclusive is what we want");
  const print = (columns: number) => printVerdicts([{ about: "mode", ...verdict }], { columns }).split("\n");
  assertEquals(print(15 + 24).slice(0, 3), [
    "problem  mode  the mode of this node is",
    "               shared",
    "               -> echo exclusive is what we want",
  ]);
  assertEquals(print(15 + 23)[0], "problem  mode  the mode of this node is shared");
});

Deno.test("the worst finding decides the level and the exit code, and a note counts for nothing", () => {
  const noted = { about: "networks", ...report.note("unknown plugin", "move it") };
  const text = `note     networks  unknown plugin\n${" ".repeat(19)}-> move it\n\nThis node is ready.\n`;
  assertEquals(printVerdicts([noted]), text);
  const levels = [[], [GOOD, noted], [GOOD, ODD], [ODD, SHARED, GOOD]].map((findings) =>
    worstLevel(findings)
  );
  assertEquals(levels, ["ok", "ok", "warning", "problem"]);
  assertEquals(levels.map((level) => EXIT_CODES[level]), [0, 0, 3, 1]);
  assertEquals(EXIT_CODES.note, 0);
});

Deno.test("what came out of a file begins no line of its own, and sends nothing to the terminal", () => {
  const evil = "a\n::error::b\x1b[2J\x85";
  const escaped = "a\\n::error::b\\u001b[2J\\u0085";
  assertEquals(
    printVerdicts([{ about: evil, ...problem(evil, evil) }]).replace(/\n\n.*/s, ""),
    `problem  ${escaped}  ${escaped}\n${" ".repeat(39)}-> ${escaped}`,
  );
});
