import { dirname, relative } from "node:path";
import { PROJECT } from "./child.ts";

/** An npm package that has modules in the bundle. */
export interface Package {
  name: string;
  version: string;
  /** SPDX identifier, as the package declares it. */
  license: string;
  /** As the package declares it; empty when it does not. */
  author: string;
  /** Of its tarball, as npm and deno.lock write it: "sha512-" and base64. */
  integrity: string;
  /** The text in its licence file, undefined when it brings none. */
  licenseText?: string;
}

/** Where the project's own modules are. */
const OWN = /^(src|tests)\//;

const LICENSE_FILE = /^licen[cs]e(\.(md|txt))?$/i;

/**
 * The packages that a bundle has modules of, by name.
 *
 * @param modules absolute paths
 * @throws {Error} when a module belongs to no package, or a package is not in deno.lock or names no licence
 */
export function packagesOf(modules: readonly string[]): Package[] {
  const foreign = modules.filter((path) => !OWN.test(relative(PROJECT, path)));
  const directories = new Set(foreign.map(packageDirectory));
  const lock = JSON.parse(Deno.readTextFileSync(`${PROJECT}deno.lock`)).npm;
  return [...directories].map((directory) => readPackage(directory, lock)).sort((a, b) =>
    a.name < b.name ? -1 : 1
  );
}

/** Directories within a package can have a package.json too, but without name and version. */
function packageDirectory(module: string): string {
  for (let directory = dirname(module); directory !== "/"; directory = dirname(directory)) {
    const { name, version } = manifestIn(directory);
    if (name && version) return directory;
  }
  throw new Error(`Cannot list what is shipped: "${module}" belongs to no package`);
}

// deno-lint-ignore no-explicit-any -- what a package writes into its package.json is checked where it is used
function manifestIn(directory: string): any {
  try {
    return JSON.parse(Deno.readTextFileSync(`${directory}/package.json`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}

function readPackage(directory: string, lock: Record<string, { integrity: string }>): Package {
  const { name, version, license, author } = manifestIn(directory);
  const id = `${name}@${version}`;
  // A package with peers is locked once for each set of them.
  const locked = Object.entries(lock).find(([key]) => key === id || key.startsWith(`${id}_`))?.[1];
  if (!locked) throw new Error(`Cannot list what is shipped: "${id}" is not in deno.lock`);
  if (typeof license !== "string") throw new Error(`Cannot list what is shipped: "${id}" names no licence`);
  const file = [...Deno.readDirSync(directory)].map(({ name }) => name).find((name) =>
    LICENSE_FILE.test(name)
  );
  return {
    name,
    version,
    license,
    author: typeof author === "string" ? author : author?.name ?? "",
    integrity: locked.integrity,
    ...(file ? { licenseText: Deno.readTextFileSync(`${directory}/${file}`) } : {}),
  };
}
