/**
 * Lets V8 compile a script and writes its code cache: `record_cache SCRIPT FILE`. The build runs this as an executable
 * like the one that uses the cache, because V8 refuses a cache from another V8 or other flags.
 */
import { Script } from "node:vm";

const [script = "", file = ""] = Deno.args;
const source = Deno.readTextFileSync(script);
const cachedData = new Script(source).createCachedData();
if (new Script(source, { cachedData }).cachedDataRejected) throw new Error("V8 refuses what it has compiled");
Deno.writeFileSync(file, cachedData);
