/** Lists of all that is shipped, for machines (CycloneDX 1.6, cyclonedx.org) and for people (licences and their texts). */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { dirname, relative } from "node:path";
import { PROJECT } from "./child.ts";
import { pinnedStub, type Target } from "./runtime_stub.ts";

/** An npm package that has modules in the bundle. */
interface Package {
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

/** An executable and what it is made of. */
interface Shipped {
  version: string;
  executable: Uint8Array;
  target: Target;
  packages: readonly Package[];
}

/** The project's own, as an SPDX identifier; its text is in LICENSE. */
const LICENSE = "Apache-2.0";

/** The V8 in the stub is the one that runs this build, since both are of the same Deno. */
const V8 = { name: "v8", version: Deno.version.v8, license: "BSD-3-Clause" };

/** A bill of materials as JSON. It has no date and no random number, so the same executable always has the same one. */
export function formatBillOfMaterials({ version, executable, target, packages }: Shipped): string {
  const own = `pkg:generic/rdma-cni@${version}?arch=${target}`;
  const stub = pinnedStub(target);
  const deno = {
    ...component("platform", `pkg:generic/deno@${stub.version}?arch=${target}`, "deno", stub.version, "MIT"),
    description: "denort, the runtime stub that the program is appended to",
    hashes: [{ alg: "SHA-256", content: stub.sha256 }],
  };
  const v8 = component("library", `pkg:generic/v8@${V8.version}`, V8.name, V8.version, V8.license);
  const libraries = packages.map((each) => ({
    ...component("library", purlOf(each), each.name, each.version, each.license),
    hashes: [{ alg: "SHA-512", content: hexOf(each.integrity) }],
  }));
  const refs = (components: { "bom-ref": string }[]) => components.map((each) => each["bom-ref"]);
  return `${
    JSON.stringify(
      {
        $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bomFormat: "CycloneDX",
        specVersion: "1.6",
        version: 1,
        metadata: {
          component: {
            type: "application",
            "bom-ref": own,
            name: "rdma-cni",
            version,
            purl: own,
            licenses: [{ license: { id: LICENSE } }],
            hashes: [{ alg: "SHA-256", content: createHash("sha256").update(executable).digest("hex") }],
          },
        },
        components: [deno, v8, ...libraries],
        dependencies: [
          { ref: own, dependsOn: refs([deno, ...libraries]) },
          { ref: deno["bom-ref"], dependsOn: refs([v8]) },
        ],
      },
      null,
      2,
    )
  }\n`;
}

/** Names, versions, licences and their texts, with the authors where a package brings no text. */
export function formatLicenses({ version, target, packages }: Shipped): string {
  const text = (name: string) => Deno.readTextFileSync(`${PROJECT}deployment/build/licenses/${name}.txt`);
  const parts = [
    { name: "rdma-cni", version, license: LICENSE, licenseText: Deno.readTextFileSync(`${PROJECT}LICENSE`) },
    { name: "deno", version: pinnedStub(target).version, license: "MIT", licenseText: text("deno") },
    { ...V8, licenseText: text("v8") },
    ...packages,
  ];
  const sections = parts.map((part) => {
    const body = part.licenseText ??
      `The package brings no text. Its author: ${"author" in part ? part.author : ""}`;
    return `\n== ${part.name} ${part.version}: ${part.license}\n\n${body.trim()}\n`;
  });
  return `What rdma-cni ${version} for ${target} is made of, and under which licences. Deno's runtime contains\n` +
    `further libraries; they are named in the Cargo.lock of that version of Deno.\n${sections.join("")}`;
}

function component(type: string, purl: string, name: string, version: string, license: string) {
  return { type, "bom-ref": purl, name, version, purl, licenses: [{ license: { id: license } }] };
}

/** A scope's "@" is written as "%40" there (package-url's rules for npm). */
function purlOf({ name, version }: Package): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

function hexOf(integrity: string): string {
  return Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex");
}

/** The paths of the project's own modules. */
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

/** Subdirectories of a package can have a package.json too, but one without name and version. */
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
