/** Prints a shorter text of a script: `minify.ts FILE OPTIONS`, OPTIONS being those of terser, as JSON. */
import { minify } from "terser";

const [file = "", options = ""] = Deno.args;
const { code } = await minify(Deno.readTextFileSync(file), JSON.parse(options));
await Deno.stdout.write(new TextEncoder().encode(code));
