/** The documents for people, and the code blocks in them that tests use. */
import { PROJECT } from "./project.ts";

/** A code block. A comment `<!-- test: NAME -->` before it says which test uses it. */
export interface Block {
  readonly page: string;
  readonly language: string;
  readonly name: string | undefined;
  readonly text: string;
}

const PAGE_PATHS = [
  ...["README.md", "CONTRIBUTING.md", "SECURITY.md"],
  ...[...Deno.readDirSync(`${PROJECT}docs`)].map(({ name }) => `docs/${name}`)
    .filter((path) => path.endsWith(".md")).sort(),
];

export const PAGES: ReadonlyMap<string, string> = new Map(
  PAGE_PATHS.map((path) => [path, Deno.readTextFileSync(PROJECT + path)]),
);

export const DOCUMENTS = [...PAGES.values()].join("\n");

const BLOCK = /(?:^<!-- test: (\S+) -->\n\n)?^```(\w*)\n(.*?)^```$/gms;

export const BLOCKS: readonly Block[] = [...PAGES].flatMap(([page, text]) =>
  Array.from(text.matchAll(BLOCK), ([, name, language, text]) => {
    return { page, language: language!, name, text: text! };
  })
);

/** The texts of the blocks of a name, of which there must be at least one. */
export function blocksNamed(name: string): string[] {
  const texts = BLOCKS.filter((block) => block.name === name).map(({ text }) => text.trimEnd());
  if (texts.length === 0) throw new Error(`No document has a block "${name}"`);
  return texts;
}

/** The text of the block of a name, which must be the same wherever it stands. */
export function blockNamed(name: string): string {
  const [text, ...others] = new Set(blocksNamed(name));
  if (others.length > 0) throw new Error(`The blocks "${name}" of the documents differ`);
  return text!;
}
