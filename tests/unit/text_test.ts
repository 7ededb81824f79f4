import fc from "fast-check";
import { IDENTIFIER } from "../../src/cni/config_schema.ts";
import { isIdentifier } from "../../src/cni/identifier.ts";
import { isAlphanumeric, isDigits } from "../../src/text.ts";
import { assertEquals } from "../assert.ts";

/** Texts of characters that lie at the borders of what is allowed, and of any others. */
const texts = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."/09:@AZ[`az{_.-\n٣é".split("")), maxLength: 4 }),
  fc.string({ unit: "binary" }),
);

function assertSame(told: (text: string) => boolean, expression: RegExp): void {
  fc.assert(fc.property(texts, (text) => assertEquals(told(text), expression.test(text))), { numRuns: 5000 });
}

Deno.test("digits are what a regular expression takes for digits", () => {
  assertSame(isDigits, /^\d+$/);
});

Deno.test("letters and digits are what a regular expression takes for them", () => {
  assertSame((text) => isAlphanumeric(text[0] ?? ""), /^[0-9A-Za-z]/);
});

Deno.test("an identifier has the form that the schema wants", () => {
  assertSame(isIdentifier, IDENTIFIER);
});
