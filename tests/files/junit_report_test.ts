import { countCases, listFailures, timeFiles } from "../support/junit_report.ts";
import { assertEquals } from "../support/assert.ts";
import { Root } from "./root.ts";

const TESTS = `
const REASON = ["bad <thing>", "", ...Array(20).fill("more")].join("\\n");
Deno.test("steps", async (t) => {
  await t.step("one & <two>", () => { throw new Error(REASON); });
  await t.step({ name: "left out", ignore: true, fn: () => {} });
});
Deno.test("fine", () => new Promise((done) => setTimeout(done, 20)));
`;

Deno.test("what a report of tests says is counted and timed, and the failures are named with their reasons", async () => {
  using root = new Root({ "/some_test.ts": TESTS });
  const args = ["test", "--no-config", "--junit-path=report.xml", "some_test.ts"];
  const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: root.path, stderr: "null" }).output();
  const report = root.read("/report.xml");
  assertEquals([code, countCases(report)], [1, { passed: 1, failed: 2, ignored: 1 }]);
  const reason = [
    "steps > one & <two>: Error: bad <thing>",
    ...Array(11).fill("more"),
    ...[45, 11].map((column) => `    at file://${root.path}/some_test.ts:4:${column}`),
  ];
  assertEquals(listFailures(report), ["steps: 1 test step failed.", reason.join("\n")]);
  const [[path, milliseconds] = []] = timeFiles(report);
  assertEquals([path, milliseconds! >= 20], ["some_test.ts", true]);
});
