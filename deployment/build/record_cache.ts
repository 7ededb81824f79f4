/**
 * Has V8 compile a script and writes its code cache to a file. Run during the build, as an executable made like the one
 * that uses the cache: V8 accepts no cache of another V8, or one made with other flags. Arguments: the script, the file.
 */
import { Script } from "node:vm";

const [script = "", file = ""] = Deno.args;
const source = Deno.readTextFileSync(script);
const cachedData = new Script(source).createCachedData();
if (new Script(source, { cachedData }).cachedDataRejected) throw new Error("V8 refuses what it has compiled");
Deno.writeFileSync(file, cachedData);
