// The forms of results, and the options for them.
import fc from "fast-check";
import { findFormat } from "../../../src/cli/command.ts";
import { formatYaml } from "../../../src/cli/output.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";
import { parseAll } from "../../support/yaml.ts";

Deno.test("YAML is one document that has what the JSON has, without references and folded lines", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    const text = formatYaml(value);
    assertEquals(parseAll(text), [JSON.parse(JSON.stringify(value))]);
  }));
  const [shared, long] = [{ name: "net1" }, "word ".repeat(100).trim()];
  assertEquals(
    formatYaml({ a: shared, b: shared, long, none: undefined, nothing: [] }),
    `---\na:\n  name: net1\nb:\n  name: net1\nlong: ${long}\nnothing: []\n`,
  );
});

Deno.test("what is printed again and again is a stream of documents", () => {
  const terminal = Object.assign(new TestTerminal(), { format: "yaml" as const });
  for (const value of [[], [{ vf: 1 }]]) terminal.print({ value });
  assertEquals(parseAll(terminal.stdout), [[], [{ vf: 1 }]]);
});

for (
  const [line, format] of [
    ["pods", undefined],
    ["pods --json", "json"],
    ["pods --json -o wide", "json"],
    ["pods --jsn --json", "json"],
    ["frob -o json", "json"],
    ["frob -ojson", "json"],
    ["gc -qo json", "json"],
    ["gc -qoyaml", "yaml"],
    ["gc --output yaml", "yaml"],
    ["gc --output=json", "json"],
    ["gc -o wide", undefined],
    ["gc -o jsonl", undefined],
    ["gc --jsonl", undefined],
    ["validate o json", undefined],
    ["validate json", undefined],
  ] as const
) {
  Deno.test(`the errors of "${line}" are ${format ?? "for people"}`, () => {
    assertEquals(findFormat(line.split(" ")), format);
  });
}
