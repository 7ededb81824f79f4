import { assertEquals } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";

const EVIL = "device \x1b[2J\nforged\u202e\n";
const LINE = "device \\u001b[2J\\nforged\\u202e\\n\n";

Deno.test("each line for people is one line, whatever is in it", () => {
  const terminal = new TestTerminal();
  terminal.print({ text: () => [{ text: EVIL }, { error: EVIL }], remarks: [{ note: EVIL }] });
  terminal.remark({ plan: EVIL });
  assertEquals([terminal.stdout, terminal.stderr], [LINE.repeat(2), LINE.repeat(2)]);
});

Deno.test("programs get the value alone, or text where there is none; only errors are beside either", () => {
  const terminal = Object.assign(new TestTerminal(), { format: "json" as const });
  terminal.print({
    value: [1],
    text: () => [{ text: "one" }, { note: "note" }],
    remarks: [{ error: "fault" }, { refusal: "refusal" }, { warning: "warning" }, { plan: "plan" }],
  });
  assertEquals([terminal.stdout, terminal.stderr], ["[\n  1\n]\n", "fault\n"]);
  terminal.print({ text: () => [{ text: "one" }] });
  assertEquals(terminal.stdout, "[\n  1\n]\none\n");
});

Deno.test("--quiet leaves results, plans, warnings and errors", () => {
  const terminal = Object.assign(new TestTerminal(), { isQuiet: true });
  terminal.print({ text: "result\n", remarks: [{ note: "note" }, { error: "fault" }, { plan: "plan" }] });
  terminal.remark({ warning: "reboot" });
  terminal.remark({ refusal: "Cannot" });
  assertEquals([terminal.stdout, terminal.stderr], [
    "result\nplan\n",
    "fault\nwarning: reboot\nrdma-cni: Cannot\n",
  ]);
});

Deno.test("a colour is for the first characters, of which none is a control", () => {
  const terminal = Object.assign(new TestTerminal(), { hasColor: true });
  terminal.print({
    text: () => [{ text: "problem  x\x1b", color: "red", colored: 7 }, { text: "\x1b", color: "yellow" }],
  });
  assertEquals(terminal.stdout, "\x1b[31mproblem\x1b[0m  x\\u001b\n\x1b[33m\\u001b\x1b[0m\n");
});

Deno.test("a bar is replaced by what is printed next, has no controls of its own, and is for terminals alone", () => {
  const terminal = Object.assign(new TestTerminal(), { showsProgress: true });
  terminal.showProgress(0, 2, "eth0\x1b\n");
  terminal.remark({ error: "failed" });
  terminal.remark({ error: "failed too" });
  terminal.showProgress(1, 2, "eth1");
  assertEquals(
    terminal.stderr,
    `\r\x1b[K[${"-".repeat(30)}] 0/2 eth0\\u001b\\n\r\x1b[Kfailed\nfailed too\n` +
      `\r\x1b[K[${"#".repeat(15)}${"-".repeat(15)}] 1/2 eth1`,
  );
});

Deno.test("there is no bar where standard error is no terminal, nor with --quiet, nor beside data", () => {
  for (const more of [{ isQuiet: true }, { showsProgress: false }, { format: "json" as const }]) {
    const terminal = Object.assign(new TestTerminal(), { showsProgress: true, ...more });
    terminal.showProgress(0, 2, "eth0");
    assertEquals(terminal.stderr, "");
  }
});
