/** A value of a JSON or YAML text, and where it and what is in it stand. */
import { isObject } from "../../plugin/config/rules.ts";

export interface Part {
  readonly value: unknown;
  /** Offset in the text. */
  readonly start: number;
  /** Offset behind it. */
  readonly end: number;
  /** The content of an object or a list, in the text's order. A key that is there twice has two entries; the last counts. */
  readonly entries: readonly Entry[];
}

export interface Entry {
  readonly key: string | number;
  /** Offset of the key. */
  readonly start: number;
  readonly part: Part;
}

/** Keys and indexes that lead to a value. */
export type Path = readonly (string | number)[];

/** An offset, for people. Both numbers count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** An object that no text holds as it is, such as one that an operator makes. */
export function makeObject(start: number, parts: Readonly<Record<string, Part>>): Part {
  const entries = Object.entries(parts).map(([key, part]) => ({ key, start: part.start, part }));
  const value = Object.fromEntries(entries.map(({ key, part }) => [key, part.value]));
  return { value, start, end: start, entries };
}

/** The same for a list. */
export function makeList(start: number, parts: readonly Part[]): Part {
  const entries = parts.map((part, key) => ({ key, start: part.start, part }));
  return { value: parts.map(({ value }) => value), start, end: start, entries };
}

/** A value that the text does not hold, but something at this offset stands for. */
export function makeValue(start: number, value: unknown): Part {
  return { value, start, end: start, entries: [] };
}

/** Returns the part that a path leads to; undefined where there is nothing. */
export function getPart(part: Part, ...path: Path): Part | undefined {
  const [key, ...rest] = path;
  if (key === undefined) return part;
  const found = findEntry(part, key)?.part ?? getHidden(part, key);
  return found && getPart(found, ...rest);
}

/** The items of a list; where their places are not known, as in YAML's aliases, they are all at its start. */
export function itemsIn({ value, start, entries }: Part): Part[] {
  if (!Array.isArray(value)) return [];
  const isKnown = entries.length === value.length;
  return value.map((item, index) => isKnown ? entries[index]!.part : makeValue(start, item));
}

/** The entries of parts by their keys: an object may have a million, and be asked for each of them. */
const indexes = new WeakMap<Part, ReadonlyMap<string | number, Entry>>();

/** The entry that counts. */
function findEntry(part: Part, key: string | number): Entry | undefined {
  let index = indexes.get(part);
  if (!index) {
    index = new Map(part.entries.map((entry) => [entry.key, entry]));
    indexes.set(part, index);
  }
  return index.get(key);
}

/** YAML's aliases and merge keys bring in values that stand elsewhere. */
function getHidden({ value, start }: Part, key: string | number): Part | undefined {
  return isObject(value) && Object.hasOwn(value, key) ? makeValue(start, value[key]) : undefined;
}

/** The offset of a path, as far as it exists: of the key where it leads to one, else of the value. */
export function offsetOf(part: Part, path: Path): number {
  let { start } = part;
  let current: Part | undefined = part;
  for (const key of path) {
    const entry = findEntry(current, key);
    if (!entry) break;
    ({ start, part: current } = entry);
  }
  return start;
}

/** Keys that are twice in one object, at any depth: each time but the first. */
export function findRepeated({ value, entries }: Part): Entry[] {
  const known = new Set<string | number>();
  return entries.flatMap((entry) => {
    const isRepeated = isObject(value) && known.has(entry.key);
    known.add(entry.key);
    return [...(isRepeated ? [entry] : []), ...findRepeated(entry.part)];
  });
}

/** Turns offsets in a text into lines and columns. */
export class Lines {
  readonly #starts: number[];

  constructor(text: string) {
    this.#starts = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)];
  }

  at(offset: number): Place {
    let [low, high] = [0, this.#starts.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! <= offset) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: offset - this.#starts[low]! + 1 };
  }
}

/** A fault of a text, and its offset. */
export class TextError extends SyntaxError {
  override readonly name = "TextError";

  constructor(message: string, readonly offset: number, options?: ErrorOptions) {
    super(message, options);
  }
}
