/** Arbitrary JSON as text, with what parsers stumble over. */
import fc from "fast-check";

/** As written: more digits than a double has, forms that JavaScript would write otherwise, too large ones. */
const number = fc.oneof(
  fc.constantFrom("-0", "1.0", "1E2", "1e400", "-1e-400", "18446744073709551615", "-9007199254740993"),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
);

const string = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom("__proto__", "constructor", "toJSON", "\0", "\ud800", "\udc00a", "\u2028", "\ufeff"),
).map((text) => JSON.stringify(text));

/** Not of digits alone: those JavaScript would put first. */
const key = string.filter((text) => !/^"\d+"$/.test(text));

/** Any value without white space, its strings as JSON.stringify writes them. */
export const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    number,
    string,
    fc.constantFrom("null", "true", "false", "[]", "{}"),
    fc.array(tie("value"), { maxLength: 4 }).map((values) => `[${values.join()}]`),
    objectText(tie("value")),
  ),
})).value;

/** An object with any keys, each once, and these values. */
export function objectText(value: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 4 })
    .map((entries) => `{${entries.map(([name, text]) => `${name}:${text}`).join()}}`);
}
