/** JSON with the places of its parts, and errors that say where they are. V8's parser has neither. */
import { type Entry, type Part, TextError } from "./part.ts";

/** Objects and lists within each other: as many as the plugin takes. */
const DEPTH_LIMIT = 1000;

const WORD = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const SPACE = /[ \t\n\r]*/y;

/**
 * Reads one JSON value.
 *
 * @param toOffset from an offset in this text to the one that parts and errors get, for a text within another
 * @throws {TextError} when it is not JSON, or nested too deeply
 */
export function parseJson(text: string, toOffset = (offset: number) => offset): Part {
  return new Parser(text, toOffset).parse();
}

class Parser {
  #at = 0;
  #depth = 0;

  constructor(readonly text: string, readonly toOffset: (offset: number) => number) {}

  parse(): Part {
    const part = this.#value();
    this.#skipSpace();
    if (this.#at < this.text.length) throw this.#unexpected("the end");
    return part;
  }

  #value(): Part {
    this.#skipSpace();
    switch (this.text[this.#at]) {
      case "{":
        return this.#object();
      case "[":
        return this.#list();
      case '"':
        return this.#string();
    }
    const start = this.#at;
    WORD.lastIndex = start;
    const [word] = WORD.exec(this.text) ?? [];
    if (word === undefined) throw this.#unexpected("a value");
    this.#at += word.length;
    return this.#part(start, JSON.parse(word), []);
  }

  #object(): Part {
    const start = this.#at;
    const entries = this.#items("}", () => {
      this.#skipSpace();
      if (this.text[this.#at] !== '"') throw this.#unexpected('a key in "..."');
      const key = this.#string();
      this.#skipSpace();
      if (this.text[this.#at] !== ":") throw this.#unexpected('":"');
      this.#at++;
      return { key: key.value as string, start: key.start, part: this.#value() };
    });
    return this.#part(start, Object.fromEntries(entries.map(({ key, part }) => [key, part.value])), entries);
  }

  #list(): Part {
    const start = this.#at;
    const entries = this.#items("]", (key) => {
      const part = this.#value();
      return { key, start: part.start, part };
    });
    return this.#part(start, entries.map(({ part }) => part.value), entries);
  }

  /** Reads the items between an opening bracket, where the parser is, and the closing one. */
  #items(close: "}" | "]", readItem: (index: number) => Entry): Entry[] {
    if (++this.#depth > DEPTH_LIMIT) throw this.#error(`it is nested more than ${DEPTH_LIMIT} levels deep`);
    this.#at++;
    this.#skipSpace();
    const entries: Entry[] = [];
    if (this.text[this.#at] !== close) {
      do {
        entries.push(readItem(entries.length));
        this.#skipSpace();
      } while (this.text[this.#at] === "," && ++this.#at);
      if (this.text[this.#at] !== close) throw this.#unexpected(`"," or "${close}"`);
    }
    this.#at++;
    this.#depth--;
    return entries;
  }

  #string(): Part {
    const start = this.#at;
    let end = start + 1;
    while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === "\\" ? 2 : 1;
    try {
      const value: unknown = JSON.parse(this.text.slice(start, end + 1));
      this.#at = end + 1;
      return this.#part(start, value, []);
    } catch (cause) {
      const isOpen = end >= this.text.length;
      throw this.#error(isOpen ? 'a text has no closing "' : "a text has a line break or a wrong \\", cause);
    }
  }

  #skipSpace(): void {
    SPACE.lastIndex = this.#at;
    this.#at += SPACE.exec(this.text)![0].length;
  }

  #part(start: number, value: unknown, entries: readonly Entry[]): Part {
    return { value, start: this.toOffset(start), end: this.toOffset(this.#at), entries };
  }

  #unexpected(expected: string): TextError {
    const [word] = /^(?:\w+|[^])/.exec(this.text.slice(this.#at, this.#at + 20)) ?? [];
    const found = word === undefined ? "the end" : JSON.stringify(word);
    return this.#error(`expected ${expected}, found ${found}`);
  }

  #error(message: string, cause?: unknown): TextError {
    return new TextError(message, this.toOffset(this.#at), { cause });
  }
}
