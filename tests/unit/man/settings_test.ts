import { parseSettings } from "../../../deployment/man/settings.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const FILE = `# Settings of
# the units.

# The mode:
# one of two.
MODE=one

# Nothing.
EMPTY=
`;

Deno.test("the comment above a setting describes it, one that stands alone the file", () => {
  assertEquals(parseSettings(FILE), {
    description: "Settings of\nthe units.",
    settings: [
      { name: "MODE", value: "one", description: "The mode:\none of two." },
      { name: "EMPTY", value: "", description: "Nothing." },
    ],
  });
});

Deno.test("a setting without a description, and a comment without a setting, are refused", () => {
  assertThrows(() => parseSettings("# A file.\n\nMODE=one\n"), Error, '"MODE=one"');
  assertThrows(() => parseSettings("# A file.\n\n# The mode.\n"), Error, '"The mode."');
});
