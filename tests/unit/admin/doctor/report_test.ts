import { type Finding, ok, problem, warning } from "../../../../src/admin/doctor/finding.ts";
import { printFindings } from "../../../../src/admin/doctor/report.ts";
import { assertEquals } from "../../../assert.ts";

const FINDINGS = [
  ok("kernel", "6.12"),
  problem("mode", "shared", "change it"),
  warning("networks", "odd key", "remove it"),
];

function print(findings: readonly Finding[], hasColor: boolean): string {
  let text = "";
  const out = (more: string) => {
    text += more;
  };
  printFindings({ out, err: out, showsProgress: false, hasColor }, findings);
  return text;
}

Deno.test("people get a line a finding, what mends it below, and the count", () => {
  assertEquals(
    print(FINDINGS, false),
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

Deno.test("on a terminal the levels have colours, and nothing else changes", () => {
  const text = print(FINDINGS, true);
  // deno-lint-ignore no-control-regex -- that is what colours are made of
  assertEquals(text.replaceAll(/\x1b\[\d+m/g, ""), print(FINDINGS, false));
  assertEquals(text.split("\n")[1], "\x1b[31mproblem\x1b[0m  mode      shared");
});

for (
  const [findings, last] of [
    [[FINDINGS[0]!], "This node is ready for RDMA in pods."],
    [[FINDINGS[2]!, FINDINGS[2]!], "This node has 2 warnings."],
    [[FINDINGS[1]!, FINDINGS[1]!], "This node has 2 problems."],
  ] as const
) {
  Deno.test(last, () => assertEquals(print(findings, false).trimEnd().split("\n").at(-1), last));
}
