import { createHash } from "node:crypto";
import { basename, join, resolve } from "node:path";
import { transformSync } from "esbuild";
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
  const codes = new Map(names.filter((name) => name.endsWith(".js")).map((name) => [name, read(name)]));
  const loadedAtStart = importsOf(basename(entry).replace(/\.ts$/, ".js"), codes);
  const parts = [...codes].map(([name, code]) => [name, minify(code, !loadedAtStart.has(name))] as const);

  Deno.mkdirSync(folder);
  let size = 0;
  for (const [name, code] of nameByContent(new Map(parts))) {
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
 * Less to read at each start. There names stay, for stack traces; what calls of the plugin do not load, or only to say
 * what is wrong with a configuration, gets short ones.
 */
function minify(code: string, minifyIdentifiers: boolean): string {
  const options = {
    minifyWhitespace: true,
    minifySyntax: true,
    minifyIdentifiers,
    target: "esnext",
  } as const;
  return transformSync(code, options).code;
}

/** The bundler's hashes change with the folder it works in, so they give way to hashes of the code. */
function nameByContent(parts: Map<string, string>): Map<string, string> {
  const rename = (code: string, nameOf: (name: string) => string) =>
    [...parts.keys()].reduce(
      (text, name) => text.replaceAll(`"./${name}"`, () => `"./${nameOf(name)}"`),
      code,
    );
  const names = new Map([...parts].map(([name, code]) => {
    const nameless = rename(code, (other) => other.replace(HASH, ".js"));
    const hash = createHash("sha256").update(nameless).digest("hex").slice(0, 8);
    return [name, name.replace(HASH, `-${hash}.js`)];
  }));
  const renamed = new Map(
    [...parts].map(([name, code]) => [names.get(name)!, rename(code, (n) => names.get(n)!)]),
  );
  if (renamed.size < parts.size) throw new Error("Cannot name the bundle's parts: two have the same code");
  return renamed;
}
