import { printNote, Progress } from "../../../src/cli/terminal.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";

const EVIL = "\x1b[2J\nforged\u202e\n";

Deno.test("each line for people is one line, whatever is in it", () => {
  const terminal = new TestTerminal();
  terminal.out(`device ${EVIL}\n`);
  terminal.err(`device ${EVIL}\n`);
  printNote(terminal, `device ${EVIL}\n`);
  const line = "device \\u001b[2J\\nforged\\u202e\\n\n";
  assertEquals([terminal.stdout, terminal.stderr], [line, line.repeat(2)]);
});

Deno.test("a colour is for the first characters, of which none is a control", () => {
  const terminal = Object.assign(new TestTerminal(), { hasColor: true });
  terminal.out("problem  x\x1b\n", 31, 7);
  terminal.out("\x1b\n", 33);
  assertEquals(terminal.stdout, "\x1b[31mproblem\x1b[0m  x\\u001b\n\x1b[33m\\u001b\x1b[0m\n");
});

Deno.test("a bar is replaced by what is printed next, has no controls of its own, and is for terminals alone", () => {
  const terminal = Object.assign(new TestTerminal(), { showsProgress: true });
  const progress = new Progress(terminal, 2);
  progress.show("eth0\x1b\n\n");
  progress.advance();
  terminal.err("failed\n");
  terminal.err("failed too\n");
  progress.show("eth1");
  assertEquals(
    terminal.stderr,
    `\r\x1b[K[${"-".repeat(30)}] 0/2 eth0\\u001b\\n\r\x1b[Kfailed\nfailed too\n` +
      `\r\x1b[K[${"#".repeat(15)}${"-".repeat(15)}] 1/2 eth1`,
  );
  for (const [showsProgress, isQuiet] of [[true, true], [false, false]] as const) {
    const other = Object.assign(new TestTerminal(), { showsProgress, isQuiet });
    new Progress(other, 2).show("eth0");
    assertEquals(other.stderr, "");
  }
});
