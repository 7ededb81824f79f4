/**
 * Has V8 compile all functions of a script and writes the compiled form to a file. Run during the build, as an
 * executable made like the one that is to use it: V8 takes no form that another V8 made, or one with other flags.
 * Arguments: the script, the file.
 */
import { Script } from "node:vm";

const [script = "", file = ""] = Deno.args;
const source = Deno.readTextFileSync(script);
const cachedData = new Script(source).createCachedData();
if (new Script(source, { cachedData }).cachedDataRejected) throw new Error("V8 refuses what it has compiled");
Deno.writeFileSync(file, cachedData);
