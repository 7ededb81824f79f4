import { formatBlock, parseBlocks } from "../../../deployment/build/man/blocks.ts";
import { assertEquals } from "../../support/assert.ts";

const HELP = `
One paragraph
of two lines.

Exit codes:
  0  fine
  1  a text that is
     longer than a line

  -x, --long <N>  an option
  alone
`;

Deno.test("help consists of paragraphs and of lists with or without a heading", () => {
  assertEquals(parseBlocks(HELP), [
    { text: "One paragraph\nof two lines.", list: [] },
    { text: "Exit codes:", list: [["0", "fine"], ["1", "a text that is\nlonger than a line"]] },
    { text: "", list: [["-x, --long <N>", "an option\nalone"]] },
  ]);
});

Deno.test("a list has its heading above it", () => {
  assertEquals(parseBlocks(HELP).flatMap(formatBlock), [
    ".PP\nOne paragraph\nof two lines.",
    ".PP\nExit codes:",
    ".TP\n\\fB0\\fR\nFine.",
    ".TP\n\\fB1\\fR\nA text that is\nlonger than a line.",
    ".TP\n\\fB\\-x\\fR, \\fB\\-\\-long\\fR \\fIN\\fR\nAn option\nalone.",
  ]);
});
