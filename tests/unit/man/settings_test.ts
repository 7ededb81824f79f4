import { parseSettings, settingsPage } from "../../../deployment/build/man/settings.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";

const FILE = `# Settings of
# the units.

# The mode:
# one of two.
#
#   one  the first
MODE=one

# Options.
#OPTIONS=--all "x y"
# Nothing.
EMPTY=
`;

Deno.test("the comment above a setting describes it, one that stands alone the file", () => {
  assertEquals(parseSettings(FILE), {
    description: "Settings of\nthe units.\n",
    settings: [
      { name: "MODE", value: "one", description: "The mode:\none of two.\n\n  one  the first\n" },
      { name: "OPTIONS", value: '--all "x y"', description: "Options.\n" },
      { name: "EMPTY", value: "", description: "Nothing.\n" },
    ],
  });
});

Deno.test("what belongs to a setting is indented below it", () => {
  const { sections } = settingsPage(FILE, "{}");
  assertStringIncludes(
    sections.join("\n"),
    `.SH "SETTINGS"
.TP
\\fBMODE\\fR=\\fIone\\fR
The mode:
one of two.
.RS
.TP
\\fBone\\fR
The first.
.RE
.TP
\\fBOPTIONS\\fR=\\fI\\-\\-all "x y"\\fR
Options.
`,
  );
});

Deno.test("a setting without a description, and a file without settings, are refused", () => {
  assertThrows(() => parseSettings("# A file.\n\nMODE=one\n"), Error, '"MODE"');
  assertThrows(() => parseSettings("# A file.\n"), Error, "NAME=value");
});
