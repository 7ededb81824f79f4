// The man pages: how text becomes roff, and where the settings' descriptions come from.
import { escape, prose } from "../../deployment/man/roff.ts";
import { parseSettings } from "../../deployment/man/settings.ts";
import { assertEquals } from "../support/assert.ts";
import { assertMakes, assertRefuses } from "../support/table.ts";

Deno.test("text is printed as it is", () => {
  assertMakes(escape, [
    ["netns-mode", "netns\\-mode"],
    ["C:\\dir", "C:\\(rsdir"],
    [".conf files", "\\&.conf files"],
    ["a\n.TH b\n'c", "a\n\\&.TH b\n\\(aqc"],
    ["no.dot here.", "no.dot here."],
    ["`^~'", "\\(ga\\(ha\\(ti\\(aq"],
    ['say "x"', 'say "x"'],
    ["5 µs, 😀", "5 \\[u00B5]s, \\[u1F600]"],
  ]);
});

Deno.test("in prose options are bold, and nothing else is", () => {
  assertMakes(prose, [
    ["with --check: it is", "with \\fB\\-\\-check\\fR: it is"],
    ['"--dry-run" (-o json)\n-w', '"\\fB\\-\\-dry\\-run\\fR" (\\fB\\-o\\fR json)\n\\fB\\-w\\fR'],
    ["read-only - or not; 3-4", "read\\-only \\- or not; 3\\-4"],
  ]);
});

Deno.test("the comment above a setting describes it, one that stands alone the file", () => {
  const file = "# Settings of\n# the units.\n\n# The mode:\n# one of two.\nMODE=one\n\n# Nothing.\nEMPTY=\n";
  assertEquals(parseSettings(file), {
    description: "Settings of\nthe units.",
    settings: [
      { name: "MODE", value: "one", description: "The mode:\none of two." },
      { name: "EMPTY", value: "", description: "Nothing." },
    ],
  });
  // A setting without a description, and a comment without a setting.
  assertRefuses(parseSettings, ["# A file.\n\nMODE=one\n"], Error, '"MODE=one"');
  assertRefuses(parseSettings, ["# A file.\n\n# The mode.\n"], Error, '"The mode."');
});
