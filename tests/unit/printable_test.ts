import fc from "fast-check";
import { toPrintable } from "../../src/printable.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";

for (
  const [what, text, wanted] of [
    ["ASCII", 'mlx5_0 "C:\\n"', 'mlx5_0 "C:\\n"'],
    ["letters, numbers and symbols", "Größe 設備 ٣ …€😀", "Größe 設備 ٣ …€😀"],
    ["a newline", "a\nb", "a\\nb"],
    ["a newline that is quoted already", JSON.stringify("a\nb"), '"a\\nb"'],
    ["controls", "\0\t\r\x1b[2J\x7f", "\\u0000\\u0009\\u000d\\u001b[2J\\u007f"],
    ["controls of 8 bits", "\x85\x9b31m", "\\u0085\\u009b31m"],
    ["line separators", "\u2028\u2029", "\\u2028\\u2029"],
    ["overrides of direction", "\u202eabc\u2066", "\\u202eabc\\u2066"],
    ["what has no width", "a\u200bb\ufeff\u00ad\u3164", "a\\u200bb\\ufeff\\u00ad\\u3164"],
    ["spaces of other widths", "a\u00a0b\u3000", "a\\u00a0b\\u3000"],
    ["marks on other characters", "e\u0301", "e\\u0301"],
    ["invisible characters beyond 16 bits", "\u{e0041}", "\\udb40\\udc41"],
    ["halves of characters", "\ud83d.\ude00", "\\ud83d.\\ude00"],
  ] as const
) {
  Deno.test(`printable: ${what}`, () => assertEquals(toPrintable(text), wanted));
}

Deno.test("printable: what was escaped stays so, and JSON in one line stays the same value", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const escaped = toPrintable(text);
    assertMatch(escaped, /^[^\p{C}\p{Zl}\p{Zp}]*$/u);
    assertEquals(toPrintable(escaped), escaped);
    assertEquals(JSON.parse(toPrintable(JSON.stringify(text))), text);
  }));
});
