import { basename, join, resolve } from "node:path";
import { denoEnv, runChild } from "./child.ts";
import { PROJECT } from "./project.ts";

export interface BundleOptions {
  /** The first module. */
  entry: string;
  /** How the bundle is to be loaded: as a module, or by what wants its exports in `module.exports`. */
  format: "esm" | "cjs";
  /** Imports that stay as they are written. */
  later?: readonly string[];
  signal?: AbortSignal | undefined;
}

/** A module and all that it imports, in one text. */
export interface Bundle {
  code: string;
  /** Absolute paths of the modules that are in it, packages' included; what the bundler could leave out is not there. */
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
    throw new Error(`Cannot bundle "${entry}": ${cause instanceof Error ? cause.message : cause}`, { cause });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}
