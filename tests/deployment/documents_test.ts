// The documents' links, and their commands on a machine that has nothing but Node.js, npm and this project.
import { run } from "../rig/vm/node/packages.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { blockNamed, PAGES } from "../support/documents.ts";
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

const PROGRAMS = ["demo", "all-tests", "build"].map((name) => {
  const [, path] = /^npx --yes deno@\S+ run -A (\S+)$/.exec(blockNamed(name)) ?? [];
  if (path === undefined) {
    throw new Error(`Block "${name}" of the documents starts no program of this project`);
  }
  return path;
});

interface Module {
  /** `code` is missing when nothing but types is imported. */
  dependencies?: { specifier: string; code?: object }[];
}

for (const program of PROGRAMS) {
  // Deno downloads packages before any line runs, and then it knows no certificate that only the system knows. So
  // whatever needs a package is left to child processes, which are told.
  Deno.test(`${program} imports no package that Deno would have to download first`, async () => {
    const { modules }: { modules: Module[] } = JSON.parse(
      await run(Deno.execPath(), ["info", "--json", program], PROJECT),
    );
    const imports = modules.flatMap(({ dependencies = [] }) => dependencies).filter(({ code }) => code);
    const names = imports.map(({ specifier }) => specifier);
    assert(names.length > 0);
    assertEquals(names.filter((name) => !/^(\.|node:)/.test(name)), []);
  });
}
