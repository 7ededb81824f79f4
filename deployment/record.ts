/**
 * Has V8 compile what VERSION, ADD and DEL run of the program, and writes the compiled form to a file. Run during the
 * build, as an executable made like the one that is to use it: V8 takes no form that another V8 made, or one with other
 * flags. Arguments: the program, the file, a new folder.
 */
import { Script } from "node:vm";
import { rehearse } from "./rehearsal.ts";

const [program = "", file = "", folder = ""] = Deno.args;
const source = Deno.readTextFileSync(program);
const script = new Script(source);
await rehearse(script.runInThisContext(), folder);
const cachedData = script.createCachedData();
if (new Script(source, { cachedData }).cachedDataRejected) throw new Error("V8 refuses what it has compiled");
Deno.writeFileSync(file, cachedData);
