/** The form of the text in the commands' help and in comments: paragraphs, and lists in two columns. */
import { bold, item, paragraph, prose, sentence, syntax } from "./roff.ts";

/** What stands between two empty lines: a paragraph or a heading, and the indented list below it; one may be missing. */
export interface Block {
  readonly text: string;
  readonly list: readonly Entry[];
}

/** A line of a list. At least two spaces separate a term from its text. */
export type Entry = readonly [term: string, text: string];

export function parseBlocks(text: string): Block[] {
  return text.split(/\n{2,}/).map((block) => block.replace(/^\n|\n$/g, "")).filter(Boolean).map((block) => {
    const lines = block.split("\n");
    const indented = lines.findIndex((line) => line.startsWith(" "));
    const end = indented < 0 ? lines.length : indented;
    return { text: lines.slice(0, end).join("\n"), list: parseList(lines.slice(end)) };
  });
}

function parseList(lines: readonly string[]): Entry[] {
  const entries: [string, string][] = [];
  for (const line of lines) {
    const [, term, text] = /^ +(\S.*?) {2,}(.+)$/.exec(line) ?? [];
    const last = entries.at(-1);
    if (term !== undefined) entries.push([term, text!]);
    else if (last) last[1] += `\n${line.trim()}`; // a long text goes on
    else entries.push([line.trim(), ""]);
  }
  return entries;
}

export function formatBlock({ text, list }: Block): string[] {
  return [...text === "" ? [] : [paragraph(prose(text))], ...formatList(list)];
}

export function formatList(list: readonly Entry[]): string[] {
  return list.map(([term, text]) =>
    item(/^[-<]/.test(term) ? syntax(term) : bold(term), prose(sentence(text)))
  );
}
