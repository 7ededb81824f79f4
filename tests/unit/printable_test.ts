import fc from "fast-check";
import { toPrintable } from "../../src/printable.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";
import { assertMakes } from "../support/table.ts";

Deno.test("printable: what a terminal shows stays, and all else is escaped", () => {
  assertMakes(toPrintable, [
    ...['mlx5_0 "C:\\n"', "Größe 設備 ٣ …€😀"].map((same) => [same, same] as const),
    ["a\nb", "a\\nb"],
    [JSON.stringify("a\nb"), '"a\\nb"'],
    ["\0\t\r\x1b[2J\x7f", "\\u0000\\u0009\\u000d\\u001b[2J\\u007f"],
    ["\x85\x9b31m", "\\u0085\\u009b31m"],
    ["\u2028\u2029", "\\u2028\\u2029"],
    // Overrides of direction, what has no width or another one, and marks on other characters.
    ["\u202eabc\u2066", "\\u202eabc\\u2066"],
    ["a\u200bb\ufeff\u00ad\u3164", "a\\u200bb\\ufeff\\u00ad\\u3164"],
    ["a\u00a0b\u3000", "a\\u00a0b\\u3000"],
    ["e\u0301", "e\\u0301"],
    // Invisible ones beyond 16 bits, and halves of characters.
    ["\u{e0041}", "\\udb40\\udc41"],
    ["\ud83d.\ude00", "\\ud83d.\\ude00"],
  ]);
});

Deno.test("printable: what was escaped stays so, and JSON in one line stays the same value", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const escaped = toPrintable(text);
    assertMatch(escaped, /^[^\p{C}\p{Zl}\p{Zp}]*$/u);
    assertEquals(toPrintable(escaped), escaped);
    assertEquals(JSON.parse(toPrintable(JSON.stringify(text))), text);
  }));
});
