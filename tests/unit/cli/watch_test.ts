import { Command } from "@commander-js/extra-typings";
import { CommandError, ExitCode } from "../../../src/cli/errors.ts";
import { perform, WATCH } from "../../../src/cli/watch.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";

/** Returns what is printed, and the pauses, when the reader of the output ends after the third time. */
async function run(watch: number | undefined, columns?: number) {
  const terminal = Object.assign(new TestTerminal(), { columns });
  const pauses: number[] = [];
  const delay = (milliseconds: number) => Promise.resolve(void pauses.push(milliseconds));
  let [times, code] = [0, -1];
  const show = () => {
    terminal.isClosed = ++times === 3;
    return { code: times === 3 ? ExitCode.partial : ExitCode.ok, text: `${times}\n` };
  };
  await perform({ kernel: { delay }, terminal, exit: (last) => code = last }, show, { watch });
  return { code, pauses, stdout: terminal.stdout };
}

Deno.test("without --watch something is shown once", async () => {
  assertEquals(await run(undefined, 80), { code: 0, pauses: [], stdout: "1\n" });
});

Deno.test("with --watch it is shown again after each pause, until nobody reads it; the last exit code counts", async () => {
  assertEquals(await run(500), { code: 3, pauses: [500, 500], stdout: "1\n2\n3\n" });
});

Deno.test("on a terminal the screen is emptied each time", async () => {
  assertEquals((await run(500, 80)).stdout, "\x1b[H\x1b[J1\n\x1b[H\x1b[J2\n\x1b[H\x1b[J3\n");
});

Deno.test("a failure is printed and does not end --watch, but its exit code counts if it was the last", async () => {
  const terminal = new TestTerminal();
  let [times, code] = [0, -1];
  const show = () => {
    if (++times === 1) return { text: "1\n" };
    terminal.isClosed = times === 3;
    throw new CommandError(`failed ${times}`, "try again");
  };
  const kernel = { delay: () => Promise.resolve() };
  await perform({ kernel, terminal, exit: (last) => code = last }, show, { watch: 1 });
  assertEquals([code, terminal.stdout, terminal.stderr], [
    1,
    "1\n",
    "rdma-cni: failed 2\ntry again\nrdma-cni: failed 3\ntry again\n",
  ]);
});

Deno.test("with --watch programs get a failure as data", async () => {
  const terminal = Object.assign(new TestTerminal(), { format: "yaml" as const });
  const show = () => {
    terminal.isClosed = true;
    throw new CommandError("failed", "try again");
  };
  await perform({ kernel: { delay: () => Promise.resolve() }, terminal, exit: () => {} }, show, { watch: 1 });
  assertEquals([terminal.stdout, terminal.stderr], ["---\nerror: failed\nfix: try again\ncode: 1\n", ""]);
});

/** What a command line says of the time between one turn and the next, in milliseconds. */
function parse(...words: string[]): number | undefined {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  return command.addOption(WATCH).parse(words, { from: "user" }).opts().watch;
}

Deno.test("--watch: seconds become milliseconds, and without a number it is two", () => {
  assertEquals([parse(), parse("--watch"), parse("-w", "30"), parse("--watch", "0.1")], [
    undefined,
    2000,
    30_000,
    100,
  ]);
  for (const wrong of ["", "0", "-1", "3601", "1m"]) {
    assertThrows(() => parse(`--watch=${wrong}`), Error, "Want seconds");
  }
});
