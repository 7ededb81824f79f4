// The documents' pictures: what terminals become when they are drawn.
import { type Cast, cutIdle, formatCast, parseCast } from "../../docs/pictures/cast.ts";
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

Deno.test("pictures: a recording is read as it was written, and its pauses are cut", () => {
  const recorded = cast([[0, "a\r\n"], [0.5, "b"], [60.5, "\x1b[0m"], [61, "c"]]);
  assertEquals(parseCast(formatCast(recorded)), recorded);
  assertEquals(formatCast(recorded).split("\n")[1], '[0,"o","a\\r\\n"]');
  assertEquals(cutIdle(recorded, 2).events.map(([seconds]) => seconds), [0, 0.5, 2.5, 3]);
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

Deno.test("pictures: what fits on the terminal stands still", () => {
  const svg = terminalSvg(cast([[0, "a\r\n"], [1, "b\r\n"]]));
  assert(!/animation|keyframes|cover/.test(svg), svg);
});

Deno.test("pictures: what does not fit scrolls, each line at its time, and begins again after the last", () => {
  const svg = terminalSvg(cast([[0, "a\r\n"], [1, "b\r\n"], [2, "c\r\n"], [99, "d\r\n"]]));
  // 2 s at half speed and a pause that is cut to 2 s, then 8 s for the last lines
  assertStringIncludes(svg, "animation: cover 14.0s step-end infinite");
  const frames = (name: string) =>
    [...svg.split(`@keyframes ${name} {`)[1]!.split(" }")[0]!.matchAll(
      /([\d.]+)%\{transform:translateY\((-?\d+)px\)/g,
    )]
      .map(([, at, y]) => [Number(at), Number(y)]);
  // at first one of the terminal's two lines is covered; then it is full, and lines go up
  assertEquals(frames("cover"), [[0, -19], [14.29, 0]]);
  assertEquals(frames("scroll"), [[0, 0], [28.57, -19], [42.86, -38]]);
  // without motion: the last lines
  assertStringIncludes(svg, "#lines { transform: translateY(-38px)");
  assertStringIncludes(svg, "@media (prefers-reduced-motion: reduce) { #lines, #cover { animation: none } }");
});
