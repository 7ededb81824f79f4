import { escape, prose, sentence, syntax } from "../../../deployment/man/roff.ts";
import { assertEquals } from "../../support/assert.ts";

for (
  const [text, roff] of [
    ["netns-mode", "netns\\-mode"],
    ["C:\\dir", "C:\\(rsdir"],
    [".conf files", "\\&.conf files"],
    ["a\n.TH b\n'c", "a\n\\&.TH b\n\\(aqc"],
    ["no.dot here.", "no.dot here."],
    ["`^~'", "\\(ga\\(ha\\(ti\\(aq"],
    ['say "x"', 'say "x"'],
    ["5 µs, 😀", "5 \\[u00B5]s, \\[u1F600]"],
  ] as const
) {
  Deno.test(`${JSON.stringify(text)} is printed as it is`, () => assertEquals(escape(text), roff));
}

for (
  const [text, roff] of [
    ["with --check: it is", "with \\fB\\-\\-check\\fR: it is"],
    ['"--dry-run" (-o json)\n-w', '"\\fB\\-\\-dry\\-run\\fR" (\\fB\\-o\\fR json)\n\\fB\\-w\\fR'],
    ["read-only - or not; 3-4", "read\\-only \\- or not; 3\\-4"],
  ] as const
) {
  Deno.test(`options are bold in ${JSON.stringify(text)}, and nothing else is`, () => {
    assertEquals(prose(text), roff);
  });
}

for (
  const [term, roff] of [
    ["-o, --output <FORMAT>", "\\fB\\-o\\fR, \\fB\\-\\-output\\fR \\fIFORMAT\\fR"],
    ["-w, --watch [SECONDS]", "\\fB\\-w\\fR, \\fB\\-\\-watch\\fR [\\fISECONDS\\fR]"],
    ["<FILE...>", "\\fIFILE\\fR..."],
    ["[PF...]", "[\\fIPF\\fR...]"],
    ["--dir=DIR", "\\fB\\-\\-dir=DIR\\fR"],
  ] as const
) {
  Deno.test(`${term} has what is typed in bold and what is filled in in italics`, () => {
    assertEquals(syntax(term), roff);
  });
}

Deno.test("a phrase becomes a sentence", () => {
  assertEquals(["done; or not", "is it?", "Yes."].map(sentence), ["Done; or not.", "Is it?", "Yes."]);
});
