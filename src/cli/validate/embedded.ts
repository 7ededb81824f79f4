/** JSON that is written as a text in JSON or YAML, as kinds of Kubernetes have it. */
import { parseJson } from "./json.ts";
import type { Part } from "./part.ts";

/**
 * Reads such a text. Parts and errors have offsets of the text around it.
 *
 * @param text the text around the part
 * @param wrap texts that an operator puts before and behind it
 * @throws {TextError} when it is not JSON
 */
export function parseEmbedded(text: string, part: Part, wrap: readonly [string, string] = ["", ""]): Part {
  const value = String(part.value);
  const offsets = locateCharacters(text, part, value);
  const [before, after] = wrap;
  return parseJson(
    `${before}${value}${after}`,
    (offset) => offsets[Math.min(Math.max(offset - before.length, 0), value.length)]!,
  );
}

/**
 * Finds where each character of a value stands. Quotes, escapes and indentation differ between a value and how it is
 * written; but both have the same visible characters in the same order. An alias has others: all is where it stands.
 */
function locateCharacters(text: string, { start, end }: Part, value: string): Uint32Array {
  const visible = listVisible(text, start, end);
  const offsets = new Uint32Array(value.length + 1);
  let count = 0;
  for (let index = 0; index <= value.length; index++) {
    offsets[index] = visible[count] ?? (visible.at(-1) ?? start) + 1;
    if (index < value.length && !/\s/.test(value[index]!)) count++;
  }
  return count === visible.length ? offsets : offsets.fill(start);
}

/** Tags and anchors, and then the header of a block, or a quote. */
const OPENING = /(?:[!&]\S*\s+)*(?:[|>].*\n|["'])?/y;
/** A visible character in double quotes, and one in single quotes; the first group is what is none. */
const DOUBLE = /(\s|\\(?:[ntrvfbae0NLP_ \t]|\n))|\\(?:x..|u.{4}|U.{8}|.)|[^]/y;
const SINGLE = /(\s)|''|[^]/y;
const PLAIN = /(\s)|[^]/y;

function listVisible(text: string, start: number, end: number): number[] {
  OPENING.lastIndex = start;
  const [opening] = OPENING.exec(text)!;
  const quote = opening.at(-1);
  const pattern = quote === '"' ? DOUBLE : quote === "'" ? SINGLE : PLAIN;
  const last = quote === '"' || quote === "'" ? end - 1 : end;
  const visible: number[] = [];
  for (let at = start + opening.length; at < last;) {
    pattern.lastIndex = at;
    const [token, space] = pattern.exec(text)!;
    if (space === undefined) visible.push(at);
    at += token.length;
  }
  return visible;
}
