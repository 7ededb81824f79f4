// Draws the documents' pictures. Of the words "demo" and "node" each makes new recordings first: the demo's, and those of
// the commands on the simulated node.
import { type Cast, formatCast } from "./cast.ts";
import { drawPictures, PICTURES } from "./draw.ts";
import { recordDemo, recordNode } from "./record.ts";

for (const source of Deno.args) {
  if (source === "demo") await save("demo", await recordDemo());
  else if (source === "node") { for (const [name, cast] of await recordNode()) await save(name, cast); }
  else throw new Error(`Cannot record "${source}", want demo or node`);
}
for (const [name, svg] of drawPictures()) await Deno.writeTextFile(PICTURES + name, svg);

async function save(name: string, cast: Cast): Promise<void> {
  await Deno.writeTextFile(`${PICTURES}${name}.cast`, formatCast(cast));
}
