// Draws the documents' pictures. With --record, first makes the recordings that they are drawn of: the demo, and a node.
import { parseArgs } from "node:util";
import { formatCast } from "./cast.ts";
import { ANSWERS, drawPictures, PICTURES, readDashboard } from "./draw.ts";
import { recordDemo, recordNode } from "./record.ts";

const { values: { record } } = parseArgs({ args: Deno.args, options: { record: { type: "boolean" } } });
if (record) {
  const demo = await recordDemo();
  const { screens, answers } = await recordNode(readDashboard());
  for (const [name, cast] of [["demo", demo] as const, ...screens]) {
    await Deno.writeTextFile(`${PICTURES}${name}.cast`, formatCast(cast));
  }
  await Deno.writeTextFile(ANSWERS, `${JSON.stringify(answers)}\n`);
}
for (const [name, svg] of drawPictures()) await Deno.writeTextFile(PICTURES + name, svg);
