import { Command } from "@commander-js/extra-typings";
import { ExitCode } from "../../../src/cli/errors.ts";
import { repeat, watchOption } from "../../../src/cli/watch.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";

/** What a command line says of the time between one turn and the next, in milliseconds. */
function parse(...words: string[]): number | undefined {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  return command.addOption(watchOption("do it again", 900)).parse(words, { from: "user" }).opts().watch;
}

Deno.test("--watch: seconds become milliseconds, and without a number it is the command's own", () => {
  assertEquals([parse(), parse("--watch"), parse("-w", "30"), parse("--watch", "0.1")], [
    undefined,
    900_000,
    30_000,
    100,
  ]);
  for (const wrong of ["", "0", "-1", "3601", "1m"]) {
    assertThrows(() => parse(`--watch=${wrong}`), Error, "Want seconds");
  }
});

Deno.test("repeat: once, or until nobody reads the output, with the last exit code", async () => {
  const terminal = new TestTerminal();
  const delays: number[] = [];
  const kernel = {
    delay(milliseconds: number) {
      delays.push(milliseconds);
      terminal.isClosed = delays.length === 2;
      return Promise.resolve();
    },
  };
  const codes: ExitCode[] = [ExitCode.failed, ExitCode.partial, ExitCode.ok];
  assertEquals(await repeat(kernel, terminal, undefined, () => codes[0]!), ExitCode.failed);
  assertEquals(delays, []);
  assertEquals(await repeat(kernel, terminal, 500, () => codes.shift()!), ExitCode.ok);
  assertEquals([delays, codes], [[500, 500], []]);
});
