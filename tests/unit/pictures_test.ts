// The documents' pictures: what terminals become when they are drawn.
import { type Cast, formatCast, paceSteps, parseCast } from "../../docs/pictures/cast.ts";
import { Terminal } from "../../docs/pictures/terminal.ts";
import { escapeXml, terminalSvg } from "../../docs/pictures/terminal_svg.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";

function linesOf(width: number, ...texts: string[]) {
  const terminal = new Terminal(width);
  for (const text of texts) terminal.write(text);
  return terminal.lines;
}

const cast = (events: Cast["events"], more: Partial<Cast> = {}): Cast => ({
  width: 20,
  height: 2,
  title: "A test",
  events,
  ...more,
});

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
  assertThrows(() => linesOf(9, "\x1b[2J"), Error, 'Cannot draw the control character "\\u001b"');
  assertThrows(() => linesOf(9, "a\rb"), Error, 'Cannot draw the control character "\\r"');
  assertThrows(() => linesOf(9, "\x1b[7mb"), Error, 'Cannot draw the style "7"');
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

Deno.test("pictures: text is escaped for XML", () => {
  assertEquals(escapeXml('<a b="&">'), "&#60;a b=&#34;&#38;&#34;&#62;");
  const svg = terminalSvg(cast([[0, "a <b> &&\r\n"]], { title: "<&" }));
  assertStringIncludes(svg, ">a &#60;b&#62; &#38;&#38;</text>");
  assertStringIncludes(svg, "<title>&#60;&#38;</title>");
});

Deno.test("pictures: each column of a line has its place and width, in whichever font", () => {
  const svg = terminalSvg(cast([[0, "  one two  \x1b[1;31mthree\x1b[0m\r\n"]]));
  assertStringIncludes(svg, '<text x="16" y="14" textLength="56">one two</text>');
  assertStringIncludes(svg, '<text x="88" y="14" textLength="40" class="red bold">three</text>');
});

Deno.test("pictures: what was printed at once stands still", () => {
  const svg = terminalSvg(cast([[0, "a\r\n"], [0, "b\r\nc\r\n"]]));
  assert(!/animation|keyframes|cover/.test(svg), svg);
});

Deno.test("pictures: other lines appear at their times, and it begins again 8 s after the last", () => {
  const svg = terminalSvg(cast([[0, "a\r\n"], [2, "b\r\nc\r\n"]]));
  assertStringIncludes(svg, "animation: cover 10.0s step-end infinite");
  // A cover below the three lines of 19 px begins two lines higher.
  assertStringIncludes(svg, '<rect id="cover" class="page" x="-11" y="57"');
  assertStringIncludes(
    svg,
    "@keyframes cover { 0%{transform:translateY(-38px)} 20%{transform:translateY(0px)} }",
  );
  assertStringIncludes(svg, "@media (prefers-reduced-motion: reduce) { #cover { animation: none } }");
});
