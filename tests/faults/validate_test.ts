// Whatever people hand to validate, it says what is wrong with it, at a place in the text, and never fails itself.
import fc from "fast-check";
import { judgeFiles } from "../../src/cli/validate/validate.ts";
import { assert } from "../support/assert.ts";
import { filesIn, PROJECT } from "../support/project.ts";
import { runs } from "./form.ts";

/** Kinds that the examples lack, with what is special in their YAML. */
const KINDS = `\
kind: List
items:
- kind: SriovNetwork
  metadata: { name: b }
  spec: &spec
    resourceName: vfs
    trust: on
    ipam: '{}'
    metaPlugins: "{ \\"type\\": \\"rdma\\", \\"a/b\\": \\"\\\\u00fc\\" }"
- { kind: MacvlanNetwork, metadata: { name: c }, spec: *spec }
---
{ kind: SriovNetworkNodePolicy, metadata: { name: c }, spec: { resourceName: vfs, isRdma: true } }
`;

const examples = [...filesIn("examples", ".yaml"), ...filesIn("examples", ".conflist")];
const TEXTS = [KINDS, ...examples.map((path) => Deno.readTextFileSync(`${PROJECT}${path}`))];

/** What means something to YAML or JSON. */
const INSERTED = [
  ...["", "\t", "\n", "'", '"', "{", "}", "[", "]", ":", ",", "|", ">", "- ", "? ", "#", " ", "\\"],
  ...["&a ", "*a", "<<: *a", "!!str ", "{{", "null", "7", "__proto__", "\u2028", "\ud800", "---\n"],
];

const change = fc.record({
  at: fc.nat(5000),
  removed: fc.oneof(fc.constant(0), fc.nat(30)),
  inserted: fc.constantFrom(...INSERTED),
});

Deno.test("validate copes with texts in which anything was removed or inserted", async () => {
  const changed = fc.tuple(fc.constantFrom(...TEXTS), fc.array(change, { minLength: 1, maxLength: 6 }));
  const property = fc.asyncProperty(changed, async ([original, changes]) => {
    const text = changes.reduce((text, { at, removed, inserted }) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + inserted + text.slice(place + removed);
    }, original);
    const lines = text.split("\n");
    for (const { line, column } of (await judgeFiles([{ file: "a", text }])).findings) {
      if (line === undefined) continue;
      assert(line >= 1 && line <= lines.length && column! >= 1 && column! <= lines[line - 1]!.length + 1);
    }
  });
  await fc.assert(property, runs(5_000, 500_000));
});
