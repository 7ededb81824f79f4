import { fileURLToPath } from "node:url";
import { parseCast } from "./cast.ts";
import { terminalSvg } from "./terminal_svg.ts";

/** The directory of recordings and pictures, with a slash at its end. */
export const PICTURES = fileURLToPath(new URL(".", import.meta.url));

/** Draws all recordings: SVGs by the names of their files. */
export function drawPictures(): Map<string, string> {
  const casts = [...Deno.readDirSync(PICTURES)].map(({ name }) => name).filter((name) =>
    name.endsWith(".cast")
  );
  return new Map(
    casts.map((name) => [
      name.replace(/cast$/, "svg"),
      terminalSvg(parseCast(Deno.readTextFileSync(PICTURES + name))),
    ]),
  );
}
