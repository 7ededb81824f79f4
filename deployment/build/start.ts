/**
 * The first module of the executable. The program stands beside it as a script, because V8 takes a compiled form only
 * for scripts. The build makes that form; otherwise V8 would compile at each start. Parts that most calls do without
 * are compressed.
 */
import { Script } from "node:vm";

/** A script as `bundle.ts` makes it: a function that gets what the script needs and returns what it exports. */
type Main = (
  load: typeof loadPart,
  module: { exports: object },
  require?: (name: string) => unknown,
) => object;

const directory = import.meta.dirname!;
// Its name has TMPDIR in it, and one that is not UTF-8 comes as another name, which is outside the executable.
if (directory.includes("\ufffd")) throw new Error("Cannot start: TMPDIR is not UTF-8");

const place = (name: string) => `${directory}/${name}`;

function read(name: string, source: string, cachedData?: Uint8Array): Main {
  return new Script(source, { filename: place(name), cachedData }).runInThisContext();
}

const parts: Record<string, Promise<object>> = {};

function loadPart(name: string): Promise<object> {
  return parts[name] ??= readPart(name);
}

async function readPart(name: string): Promise<object> {
  const [{ brotliDecompressSync }, { default: process }] = await Promise.all([
    import("node:zlib"),
    import("node:process"),
  ]);
  const source = brotliDecompressSync(Deno.readFileSync(place(`${name}.br`)));
  const main = read(name, new TextDecoder().decode(source));
  return main(loadPart, { exports: {} }, (builtin) => process.getBuiltinModule(builtin));
}

const form = Deno.readFileSync(place("program.cache"));
read("program.js", Deno.readTextFileSync(place("program.js")), form)(loadPart, { exports: {} });
