/** Makes the scripts that the executable is made of from the sources. */
import { basename, join, resolve } from "node:path";
import { brotliCompressSync } from "node:zlib";
import type { MinifyOptions } from "terser";
import { messageOf } from "../../src/sys/errno.ts";
import { denoEnv, PROJECT, runChild } from "./child.ts";
import type { Commit } from "./commit.ts";

const AGENT = { entry: "src/agent/main.ts", name: "agent.js" };
const CLI = { entry: "src/cli/main.ts", name: "cli.js" };
const SCHEMA = { entry: "src/plugin/config/schema.ts", name: "config_schema.js" };

/** The parts of the program that are loaded when they are needed, by the specifiers of their `import()`. */
const LATER = {
  "./agent/main.ts": AGENT,
  "./cli/main.ts": CLI,
  "./schema.ts": SCHEMA,
  "../../plugin/config/schema.ts": SCHEMA,
};

/** The file that holds the program's compiled form; without one it is empty, and V8 compiles at each start. */
export const COMPILED_FORM = "program.cache";

/** The file that holds the program. */
export const PROGRAM = "program.js";

/**
 * Writes what the executable is made of into a directory: `start.ts` and the scripts that it runs.
 *
 * @param commit the commit from which the program says that it is built
 * @returns absolute paths of the modules that are in it, packages' included
 * @throws {Error} with what the bundler said
 */
export async function writeScripts(
  directory: string,
  commit: Commit,
  signal?: AbortSignal,
): Promise<string[]> {
  const write = (name: string, content: string | Uint8Array) => {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    Deno.writeFileSync(join(directory, name), bytes);
  };
  const first = await bundle({ entry: `${PROJECT}deployment/build/start.ts`, format: "esm", signal });
  write("main.js", await shorten(first.code, { module: true }, signal));
  write(COMPILED_FORM, "");
  const modules = new Set<string>();
  const unused = new Set(Object.keys(LATER));
  const addScript = async (entry: string, add: (script: string) => void) => {
    const part = await bundle({ entry: PROJECT + entry, format: "cjs", later: Object.keys(LATER), signal });
    add(await toScript(part.code, commit, signal));
    part.modules.forEach((module) => modules.add(module));
    unused.forEach((specifier) => part.code.includes(`import("${specifier}")`) && unused.delete(specifier));
  };
  await addScript("src/main.ts", (script) => write(PROGRAM, script));
  for (const { entry, name } of new Set(Object.values(LATER))) {
    await addScript(entry, (script) => write(`${name}.br`, brotliCompressSync(script)));
  }
  if (unused.size > 0) throw new Error(`Cannot build: nothing imports ${[...unused].join(", ")} later`);
  return [...modules].sort();
}

/** The function that loads a part. A function of this name in a package would take its place; js-yaml has a `load`. */
const LOAD = "__loadPart";

/** Makes the script that `start.ts` runs: a function of its type `Main`. */
async function toScript(code: string, { hash, date }: Commit, signal?: AbortSignal): Promise<string> {
  for (const [specifier, { name }] of Object.entries(LATER)) {
    code = code.replaceAll(`import("${specifier}")`, `${LOAD}("${name}")`);
  }
  const script = `(function(${LOAD}, module, require) { "use strict"; ${code}\nreturn module.exports; })`;
  const global_defs = { BUILD_COMMIT: hash, BUILD_DATE: date };
  return await shorten(script, { compress: { expression: true, passes: 3, global_defs } }, signal);
}

interface BundleOptions {
  /** The first module. */
  entry: string;
  /** The way in which it is loaded: as a module, or by code that finds its exports in `module.exports`. */
  format: "esm" | "cjs";
  /** Imports that stay as they are written. */
  later?: readonly string[];
  signal?: AbortSignal | undefined;
}

/** A module and all that it imports, in one text. */
interface Bundle {
  code: string;
  /** Absolute paths of the modules that are in it, packages' included, without those that the bundler could leave out. */
  modules: string[];
}

/**
 * Makes one text of a module and what it imports.
 *
 * @throws {Error} with what the bundler said
 */
export async function bundle({ entry, format, later = [], signal }: BundleOptions): Promise<Bundle> {
  const directory = await Deno.makeTempDir();
  try {
    const args = ["bundle", "--quiet", "--sourcemap=external", "--format", format, "--outdir", directory];
    args.push(...later.flatMap((specifier) => ["--external", specifier]), entry);
    await runChild(Deno.execPath(), args, { cwd: PROJECT, env: denoEnv(), signal });
    const output = join(directory, basename(entry).replace(/\.ts$/, ".js"));
    const { sources }: { sources: string[] } = JSON.parse(Deno.readTextFileSync(`${output}.map`));
    const modules = sources.map((source) => resolve(directory, decodeURIComponent(source))); // parts of URLs
    return { code: Deno.readTextFileSync(output), modules };
  } catch (cause) {
    throw new Error(`Cannot bundle "${entry}": ${messageOf(cause)}`, { cause });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/**
 * Minifies a script, so that there is less to read at each start. Functions and classes keep their names, for stack
 * traces. The result is ASCII, since one other character can make V8 keep the text with two bytes each.
 *
 * A child process does it: Deno downloads the package before the first line of the program that imports it, and only a
 * child can be given the certificates for that.
 */
async function shorten(code: string, more: MinifyOptions, signal?: AbortSignal): Promise<string> {
  const names = { keep_fnames: true, keep_classnames: true };
  const options: MinifyOptions = { ecma: 2020, format: { ascii_only: true }, ...names, ...more };
  const directory = await Deno.makeTempDir();
  try {
    const file = join(directory, "script.js");
    Deno.writeTextFileSync(file, code);
    const args = [
      "run",
      "--quiet",
      "--allow-all",
      "deployment/build/minify.ts",
      file,
      JSON.stringify(options),
    ];
    return await runChild(Deno.execPath(), args, { cwd: PROJECT, env: denoEnv(), signal });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}
