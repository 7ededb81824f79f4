// Draws the documents' pictures. With --record, first makes the recordings that they are drawn of: the demo, and a node.
import { parseArgs } from "node:util";
import { type Cast, formatCast } from "./cast.ts";
import { drawPictures, PICTURES } from "./draw.ts";
import { recordDemo, recordNode } from "./record.ts";

const { values: { record } } = parseArgs({ args: Deno.args, options: { record: { type: "boolean" } } });
if (record) {
  await save("demo", await recordDemo());
  for (const [name, cast] of await recordNode()) await save(name, cast);
}
for (const [name, svg] of drawPictures()) await Deno.writeTextFile(PICTURES + name, svg);

async function save(name: string, cast: Cast): Promise<void> {
  await Deno.writeTextFile(`${PICTURES}${name}.cast`, formatCast(cast));
}
