import { Command } from "@commander-js/extra-typings";
import { CommandError, ExitCode } from "../../../src/cli/errors.ts";
import { perform, WATCH } from "../../../src/cli/watch.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";

/** Returns what is printed, and the pauses, when the reader of the output ends after the third time. */
async function run(
  watch: number | undefined,
  settings: object = {},
  show = (times: number) => ({ code: times === 3 ? ExitCode.partial : ExitCode.ok, text: `${times}\n` }),
) {
  const terminal = Object.assign(new TestTerminal(), settings);
  const pauses: number[] = [];
  const kernel = { delay: (milliseconds: number) => Promise.resolve(void pauses.push(milliseconds)) };
  let [times, code] = [0, -1];
  await perform({ kernel, terminal, exit: (last) => code = last }, () => {
    terminal.isClosed = ++times === 3;
    return show(times);
  }, { watch });
  return { code, pauses, stdout: terminal.stdout, stderr: terminal.stderr };
}

Deno.test("without --watch something is shown once, with it again after each pause, until nobody reads it; the last exit code counts", async () => {
  assertEquals(await run(undefined, { columns: 80 }), { code: 0, pauses: [], stdout: "1\n", stderr: "" });
  assertEquals(await run(500), { code: 3, pauses: [500, 500], stdout: "1\n2\n3\n", stderr: "" });
});

Deno.test("on a terminal the screen is emptied each time", async () => {
  assertEquals((await run(500, { columns: 80 })).stdout, "\x1b[H\x1b[J1\n\x1b[H\x1b[J2\n\x1b[H\x1b[J3\n");
});

function failAfterFirst(times: number) {
  if (times > 1) throw new CommandError(`failed ${times}`, "try again");
  return { code: ExitCode.ok, text: "1\n" };
}

Deno.test("a failure is printed and does not end --watch, but its exit code counts if it was the last", async () => {
  const { code, stdout, stderr } = await run(1, {}, failAfterFirst);
  const told = "rdma-cni: failed 2\ntry again\nrdma-cni: failed 3\ntry again\n";
  assertEquals([code, stdout, stderr], [1, "1\n", told]);
});

Deno.test("with --watch programs get a failure as data", async () => {
  const { stdout, stderr } = await run(1, { format: "yaml" }, failAfterFirst);
  const told = (times: number) => `---\nerror: failed ${times}\nfix: try again\ncode: 1\n`;
  assertEquals([stdout, stderr], [`1\n${told(2)}${told(3)}`, ""]);
});

/** What a command line says of the time between one turn and the next, in milliseconds. */
function parse(...words: string[]): number | undefined {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  return command.addOption(WATCH).parse(words, { from: "user" }).opts().watch;
}

Deno.test("--watch: seconds become milliseconds, and without a number it is two", () => {
  const given = [parse(), parse("--watch"), parse("-w", "30"), parse("--watch", "0.1")];
  assertEquals(given, [undefined, 2000, 30_000, 100]);
  for (const wrong of ["", "0", "-1", "3601", "1m"]) {
    assertThrows(() => parse(`--watch=${wrong}`), Error, "Want seconds");
  }
});
