import { countCases, listFailures, timeFiles } from "../support/junit_report.ts";
import { assertEquals } from "../support/assert.ts";

const TESTS = `
const REASON = ["bad <thing>", "", ...Array(20).fill("more")].join("\\n");
Deno.test("steps", async (t) => {
  await t.step("one & <two>", () => { throw new Error(REASON); });
  await t.step({ name: "left out", ignore: true, fn: () => {} });
});
Deno.test("fine", () => new Promise((done) => setTimeout(done, 20)));
`;

Deno.test("what a report of tests says is counted and timed, and the failures are named with their reasons", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/some_test.ts`, TESTS);
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-config", "--junit-path=report.xml", "some_test.ts"],
      cwd: directory,
      stdout: "null",
      stderr: "null",
    }).output();
    const report = await Deno.readTextFile(`${directory}/report.xml`);
    assertEquals({ code, ...countCases(report), failures: listFailures(report) }, {
      code: 1,
      passed: 1,
      failed: 2,
      ignored: 1,
      failures: [
        "steps: 1 test step failed.",
        [
          "steps > one & <two>: Error: bad <thing>",
          ...Array(11).fill("more"),
          `    at file://${directory}/some_test.ts:4:45`,
          `    at file://${directory}/some_test.ts:4:11`,
        ].join("\n"),
      ],
    });
    const [[path, milliseconds] = []] = timeFiles(report);
    assertEquals([path, milliseconds! >= 20], ["some_test.ts", true]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
