import { ExitCode } from "../../../src/cli/errors.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("exit codes are the numbers that scripts rely on", () => {
  assertEquals({ ...ExitCode }, { ok: 0, failed: 1, usage: 2, partial: 3, rebootNeeded: 4 });
});
