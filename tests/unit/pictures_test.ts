// The documents' pictures: what their recordings (tests/deployment/pictures_test.ts) do not contain.
import { type Cast, formatCast, paceSteps, parseCast } from "../../docs/pictures/cast.ts";
import { Terminal } from "../../docs/pictures/terminal.ts";
import { terminalSvg } from "../../docs/pictures/terminal_svg.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { assertRefuses } from "../support/table.ts";

function linesOf(width: number, ...texts: string[]) {
  const terminal = new Terminal(width);
  for (const text of texts) terminal.write(text);
  return terminal.lines;
}

const cast = (events: Cast["events"], title = "A test"): Cast => ({ width: 20, height: 2, title, events });

Deno.test("pictures: a terminal's text has the styles that were set before it, until they are reset", () => {
  assertEquals(linesOf(20, "a\x1b[31mb\x1b[1mc\x1b[0md \x1b[1;32me\x1b[mf"), [[
    { column: 0, text: "a" },
    { column: 1, text: "b", colour: "red" },
    { column: 2, text: "c", colour: "red", bold: true },
    { column: 3, text: "d " },
    { column: 5, text: "e", colour: "green", bold: true },
    { column: 6, text: "f" },
  ]]);
});

Deno.test("pictures: a terminal wraps at its width, keeps empty lines and joins what comes in parts", () => {
  const texts = linesOf(4, "abcdef\r\n", "\r\n", "ab", "cd\r\n").map((line) => line.map(({ text }) => text));
  assertEquals(texts, [["abcd"], ["ef"], [], ["ab", "cd"]]);
});

Deno.test("pictures: what a terminal cannot draw is refused", () => {
  const draw = (text: string) => linesOf(9, text);
  assertRefuses(draw, ["\x1b[2J"], Error, 'Cannot draw the control character "\\u001b"');
  assertRefuses(draw, ["a\rb"], Error, 'Cannot draw the control character "\\r"');
  assertRefuses(draw, ["\x1b[7mb"], Error, 'Cannot draw the style "7"');
});

Deno.test("pictures: a recording is read as it was written", () => {
  const recorded = cast([[0, "a\r\n"], [0.5, "b"], [60.5, "\x1b[0m"], [61, "c"]]);
  assertEquals(parseCast(formatCast(recorded)), recorded);
  assertEquals(formatCast(recorded).split("\n")[1], '[0,"o","a\\r\\n"]');
});

Deno.test("pictures: each command of the demo has its time, together with its heading and with what it prints", () => {
  const first = "\x1b[1m== A node\x1b[0m\r\n\x1b[32m$ rdma link\x1b[0m\r\nlink $ 1\r\n";
  const second = "\x1b[32m$ ip netns add pod\x1b[0m\r\n\r\n";
  const third = "\x1b[1m== ADD\x1b[0m\r\n\x1b[32m$ cat\x1b[0m\r\n";
  assertEquals(paceSteps(first + second + third, 2), [[0, first], [2, second], [4, third]]);
});

Deno.test("pictures: text is escaped for XML, and what was printed at once stands still", () => {
  const svg = terminalSvg(cast([[0, 'a <b="">\r\n'], [0, "&&\r\nc\r\n"]], "<&"));
  assertStringIncludes(svg, ">a &#60;b=&#34;&#34;&#62;</text>");
  assertStringIncludes(svg, ">&#38;&#38;</text>");
  assertStringIncludes(svg, "<title>&#60;&#38;</title>");
  assert(!/animation|keyframes|cover/.test(svg), svg);
});
