import { basename, join, resolve } from "node:path";
import { minify as compress } from "terser";
import { denoEnv, runChild } from "./child.ts";
import { PROJECT } from "./project.ts";

export interface Bundle {
  /** Of all its files together, in bytes. */
  size: number;
  /** Absolute paths of the modules that are in it, packages' included; what the bundler could leave out is not there. */
  modules: string[];
}

/** What the bundler puts behind the name of a part that is loaded later or by several. */
const HASH = /-[A-Z0-9]{8}\.js$/;

/** How a part is mentioned in another, in an import as it is before anything is made shorter. */
const MENTION = /"\.\/([^"/]+\.js)"/g;

/**
 * Writes a program as one file for the start and one for each literal `await import()` into a new folder. The same sources
 * make the same files, wherever they are and whenever.
 *
 * @throws {Error} with what the bundler said
 */
export async function bundle(entry: string, folder: string, signal?: AbortSignal): Promise<Bundle> {
  const raw = `${folder}.raw`;
  const args = ["bundle", "--quiet", "--code-splitting", "--sourcemap=external", "--outdir", raw, entry];
  try {
    await runChild(Deno.execPath(), args, { cwd: PROJECT, env: denoEnv(), signal });
  } catch (cause) {
    throw new Error(`Cannot bundle "${entry}": ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  const names = [...Deno.readDirSync(raw)].map(({ name }) => name);
  const read = (name: string) => Deno.readTextFileSync(join(raw, name));
  const modules = names.filter((name) => name.endsWith(".map")).flatMap((name) => {
    return (JSON.parse(read(name)).sources as string[]).map((source) => resolve(raw, source));
  });
  const first = basename(entry).replace(/\.ts$/, ".js");
  const written = names.filter((name) => name.endsWith(".js")).map((name) => [name, read(name)] as const);
  const codes = numberParts(first, new Map(written));
  const loadedAtStart = importsOf(first, codes);
  const parts = await Promise.all([...codes].map(async ([name, code]) => {
    return [name, await minify(code, loadedAtStart.has(name))] as const;
  }));

  Deno.mkdirSync(folder);
  let size = 0;
  for (const [name, code] of parts) {
    const file = join(folder, name);
    Deno.writeTextFileSync(file, code);
    // Times get embedded too.
    Deno.utimeSync(file, 0, 0);
    size += Deno.statSync(file).size;
  }
  return { size, modules: [...new Set(modules)].sort() };
}

/** A part and those that it imports, directly or not; those behind an `await import()` are left out. */
function importsOf(part: string, codes: ReadonlyMap<string, string>): Set<string> {
  const parts = new Set([part]);
  for (const name of parts) {
    const imports = codes.get(name)!.matchAll(/^(?:import|.* from) "\.\/([^"]+)";$/gm);
    for (const [, imported] of imports) parts.add(imported!);
  }
  return parts;
}

/**
 * Less to read at each start. What calls of the plugin load then keeps the names of functions and classes, for stack
 * traces.
 */
async function minify(code: string, keepsNames: boolean): Promise<string> {
  const { code: less } = await compress(code, {
    module: true,
    ecma: 2020,
    keep_fnames: keepsNames,
    keep_classnames: keepsNames,
  });
  return less!;
}

/**
 * The bundler's hashes change with the folder it works in, and short names are chosen by how often each letter occurs. So
 * the parts are numbered instead, in the order in which they are mentioned.
 */
function numberParts(first: string, codes: ReadonlyMap<string, string>): Map<string, string> {
  const numbers = new Map([[first, first]]);
  for (const name of numbers.keys()) {
    for (const [, mentioned = ""] of codes.get(name)!.matchAll(MENTION)) {
      if (!codes.has(mentioned) || numbers.has(mentioned)) continue;
      numbers.set(mentioned, mentioned.replace(HASH, `-${numbers.size}.js`));
    }
  }
  return new Map(Array.from(numbers, ([name, numbered]) => {
    const code = codes.get(name)!.replace(MENTION, (text, other) => {
      const known = numbers.get(other);
      return known === undefined ? text : `"./${known}"`;
    });
    return [numbered, code];
  }));
}
