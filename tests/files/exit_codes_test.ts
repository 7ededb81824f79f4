// The exit codes in the documents.
import { ExitCode } from "../../src/cli/errors.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";

/** The codes of each table in docs/commands.md. */
const TABLES = Deno.readTextFileSync(`${PROJECT}docs/commands.md`)
  .split(/^\| exit code .*$/m).slice(1)
  .map((text) => [...text.split("\n\n")[0]!.matchAll(/^\| (\d+) /gm)].map(([, code]) => Number(code)));

Deno.test("the first table of the commands has all exit codes", () => {
  assertEquals(TABLES[0], Object.values(ExitCode).sort());
});

Deno.test("each command's table has codes of the first one only", () => {
  const [all, ...own] = TABLES;
  assert(own.length > 0);
  for (const codes of own) {
    assertEquals(codes, all!.filter((code) => codes.includes(code)));
    assert(codes.length > 0);
  }
});
