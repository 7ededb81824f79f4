import { CommandError, ExitCode } from "../../../src/cli/errors.ts";
import { assert, assertEquals } from "../../support/assert.ts";

Deno.test("a command's failure has its own name, advice and cause, and exit code 1 by default", () => {
  const cause = new Error("why");
  const error = new CommandError("Cannot do it", "Do it otherwise", ExitCode.usage, { cause });
  assert(error instanceof Error);
  assertEquals(
    [`${error}`, error.advice, error.exitCode, error.cause],
    ["CommandError: Cannot do it", "Do it otherwise", 2, cause],
  );
  assertEquals([new CommandError("a").exitCode, new CommandError("a").advice], [1, undefined]);
});

Deno.test("exit codes are the numbers that scripts rely on", () => {
  assertEquals({ ...ExitCode }, { ok: 0, failed: 1, usage: 2, partial: 3, rebootNeeded: 4 });
});
