/** Prints a script, minified: `minify.ts FILE OPTIONS`. The options are those of terser, as JSON. */
import { minify } from "terser";

const [file = "", options = ""] = Deno.args;
const { code } = await minify(Deno.readTextFileSync(file), JSON.parse(options));
await Deno.stdout.write(new TextEncoder().encode(code));
