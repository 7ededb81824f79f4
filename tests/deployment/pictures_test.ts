// The pictures of the documents are those of the committed recordings, and what code hosts show as images.
import { parseCast } from "../../docs/pictures/cast.ts";
import { drawPictures, PICTURES } from "../../docs/pictures/draw.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { DOCUMENTS } from "../support/documents.ts";

const ADVICE = 'run "deno task pictures"';
const LARGEST_BYTES = 150_000;

const drawn = drawPictures();
const committed = [...Deno.readDirSync(PICTURES)].map(({ name }) => name).filter((name) =>
  name.endsWith(".svg")
);

/** The committed pictures by their names. */
const svgs = new Map(committed.map((name) => [name, Deno.readTextFileSync(PICTURES + name)]));

const TAG = /<(\/?)([\w:]+)(?: [\w:-]+="[^"<&]*")*(\/?)>/g;

/** Asserts that a text is XML as we write it: elements that are closed in order, with double quotation marks. */
function assertWellFormed(text: string): void {
  const open: string[] = [];
  for (const [, isEnd, name, isEmpty] of text.matchAll(TAG)) {
    if (isEnd) assertEquals(open.pop(), name);
    else if (!isEmpty) open.push(name!);
  }
  assertEquals([open, text.replaceAll(TAG, "").replaceAll(/&#\d+;/g, "").match(/[<>&]/g)], [[], null]);
}

Deno.test("every picture is what its recording becomes", () => {
  assertEquals(committed.sort(), [...drawn.keys()].sort(), ADVICE);
  for (const [name, svg] of drawn) assert(svgs.get(name) === svg, `${name}: ${ADVICE}`);
});

for (const [name, svg] of svgs) {
  Deno.test(`${name} is small, well-formed, without anything that runs or loads, for light and dark pages, and shown`, () => {
    assert(new TextEncoder().encode(svg).length <= LARGEST_BYTES);
    assertWellFormed(svg);
    assert(!/<(script|foreignObject|image|use|a)\b|\bon\w+=|href|url\(|@import/.test(svg));
    assert(svg.includes("@media (prefers-color-scheme: dark)"));
    assert(/^<svg [^>]*viewBox="0 0 \d+ \d+"[^>]*>\n<title>.+<\/title>/.test(svg));
    assert(new RegExp(`!\\[[^\\]]+\\]\\([./\\w]*${name}\\)`).test(DOCUMENTS));
    // No line is wider than its terminal, which would break words.
    const { width, events } = parseCast(Deno.readTextFileSync(PICTURES + name.replace(/svg$/, "cast")));
    const text = events.map(([, text]) => text).join("").replaceAll(/\p{Cc}\[[\d;]*m/gu, "");
    assertEquals(text.split("\r\n").filter((line) => line.length > width), []);
  });
}

Deno.test("demo.svg has at most 30 lines, shows each step for 2 s, and ends when a VF's device is back", () => {
  const { events } = parseCast(Deno.readTextFileSync(`${PICTURES}demo.cast`));
  const lines = events.map(([, text]) => text).join("").trimEnd().split("\r\n");
  assert(lines.length <= 30, `${lines.length} lines`);
  assert(events.length > 5 && events.every(([seconds], i) => seconds === 2 * i));
  assertEquals(lines.at(-1), "The RDMA device went into the pod and returned to the host.");
});
