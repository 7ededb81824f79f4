// Links within the documents lead to files and headings that are there.
import { assertEquals } from "../support/assert.ts";
import { PAGES } from "../support/documents.ts";
import { PROJECT } from "../support/project.ts";

const EXAMPLES = "examples/README.md";
const TEXTS = new Map([...PAGES, [EXAMPLES, Deno.readTextFileSync(PROJECT + EXAMPLES)]]);

/** What a heading is linked by on code hosts: lower case, no punctuation, hyphens for spaces. */
function anchorsOf(text: string): string[] {
  return Array.from(
    text.matchAll(/^#+ (.*)$/gm),
    ([, heading]) => heading!.toLowerCase().replaceAll(/[^\w\- ]/g, "").replaceAll(" ", "-"),
  );
}

for (const [page, text] of TEXTS) {
  Deno.test(`links of ${page} lead somewhere`, () => {
    const base = new URL(page, "file:///");
    const broken = Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => link!)
      .filter((link) => !/^https?:/.test(link))
      .filter((link) => {
        const { pathname, hash } = new URL(link, base);
        const path = decodeURIComponent(pathname.slice(1));
        try {
          Deno.statSync(PROJECT + path);
        } catch {
          return true;
        }
        return hash !== "" && !anchorsOf(TEXTS.get(path) ?? "").includes(hash.slice(1));
      });
    assertEquals(broken, []);
  });
}
