/** Roff of man pages: escaping, and the few macros that the pages use (groff_man(7), groff_char(7)). */

/** Characters that roff would read as an escape, or print as another: `-` as a hyphen, `'` as a closing quote. */
const ESCAPES: Record<string, string> = {
  "\\": "\\(rs",
  "-": "\\-",
  "'": "\\(aq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
};

/** Writes text that roff prints character by character as it is. */
export function escape(text: string): string {
  return text
    .replace(/[\\'`^~-]|[^\0-\x7f]/gu, (character) => ESCAPES[character] ?? `\\[u${hexOf(character)}]`)
    .replace(/^\./gm, "\\&.");
}

function hexOf(character: string): string {
  return character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
}

export function bold(words: string): string {
  return `\\fB${escape(words)}\\fR`;
}

export function italic(word: string): string {
  return `\\fI${escape(word)}\\fR`;
}

/** Writes running text for people, with options in bold. */
export function prose(text: string): string {
  return escape(text).replace(/(?<=^|[\s("])(?:\\-){1,2}[a-z](?:\w|\\-)*/gm, "\\fB$&\\fR");
}

/** Makes a sentence of a phrase such as "print the mode". */
export function sentence(phrase: string): string {
  const end = /[.?!]$/.test(phrase) ? "" : ".";
  return phrase.charAt(0).toUpperCase() + phrase.slice(1) + end;
}

/** Writes the flags of an option, or a command with its arguments, as command lines are: `-o, --output <FORMAT>`. */
export function syntax(term: string): string {
  return term.replace(/([[<])([^\]>]+?)(\.\.\.)?[\]>]|[^\s,]+/g, (word, bracket, name, dots = "") => {
    if (name === undefined) return bold(word);
    return bracket === "<" ? `${italic(name)}${dots}` : `[${italic(name)}${dots}]`;
  });
}

/** Writes a section of a page, empty if nothing is in it. */
export function section(title: string, blocks: readonly string[]): string {
  return blocks.length === 0 ? "" : [`.SH ${quote(title)}`, ...blocks].join("\n");
}

/** @param title in roff */
export function subsection(title: string): string {
  return `.SS ${title}`;
}

/** @param text in roff */
export function paragraph(text: string): string {
  return `.PP\n${text}`;
}

/** Writes a tag, and a text below it, both in roff. */
export function item(tag: string, text: string): string {
  return `.TP\n${tag}\n${text}`;
}

/** Writes a command line with what may be added to it, each a piece of roff. */
export function synopsis(command: string, pieces: readonly string[]): string {
  // Without the mark at its end a piece such as "[FILE...]" would be the end of a sentence.
  const lines = pieces.map((piece) => `${piece.replaceAll(" ", "\\ ")}\\&`);
  return [`.SY ${quote(command)}`, ...lines, ".YS"].join("\n");
}

/** Writes lines that are printed as they are. */
export function literal(text: string): string {
  return `.PP\n.EX\n${escape(text.trimEnd())}\n.EE`;
}

/** A page; its sections are roff. */
export interface Page {
  readonly name: string;
  readonly volume: number;
  /** A phrase that says what the page is about. */
  readonly purpose: string;
  readonly sections: readonly string[];
}

/** Writes the name of a page and its volume: doctor(8). */
export function reference({ name, volume }: Pick<Page, "name" | "volume">): string {
  return `${bold(name)}(${volume})`;
}

/**
 * Writes a page as a file.
 *
 * @param date as in 2026-11-26; empty if it is not known
 * @param source the program that the page belongs to
 */
export function formatPage({ name, volume, purpose, sections }: Page, date: string, source: string): string {
  const text = [
    `.TH ${quote(name.toUpperCase())} ${volume} "${date}" ${quote(source)}`,
    ".nh", // no hyphens in names and paths
    section("NAME", [escape(`${name} - ${purpose}`)]),
    ...sections.filter(Boolean),
  ].join("\n");
  // A heading begins a paragraph by itself.
  return `${text.replace(/^(\.S[HS] .*)\n\.PP$/gm, "$1")}\n`;
}

/** Writes an argument of a macro. It must not have quotation marks. */
function quote(text: string): string {
  return `"${escape(text)}"`;
}
