/** Prints the text of a release, which is its section of CHANGELOG.md, once everything names the release's version. */
import { readdirSync, readFileSync } from "node:fs";
import { messageOf } from "../../src/sys/errno.ts";
import { PROJECT } from "./child.ts";

const USAGE = `Usage: deno task release-notes vX.Y.Z

Checks that the sources, the manifests and the documents name this version and no other, and prints its section of
CHANGELOG.md.
`;

/** The places of versions: the files, and the words around them. */
const PLACES: readonly (readonly [file: RegExp, version: RegExp])[] = [
  [/^src\/version\.ts$/, /VERSION = "(.*)"/g],
  [/^deno\.json$/, /^ {2}"version": "(.*)"/gm],
  [/^Dockerfile$/, /image\.version="(.*)"/g],
  [/\/Chart\.yaml$/, /^(?:appVersion|version): "?([^"\s]+)/gm],
  // Images, packages, installed programs, and what doctor says.
  [/\.(?:md|yaml)$/, /\brdma(?:-cni[:_-]| is version )(\d+\.\d+\.\d+)/g],
];

/** A version, and the file that names it. */
export interface NamedVersion {
  readonly file: string;
  readonly version: string;
}

/** The versions of rdma-cni that a file names. */
export function versionsIn(file: string, text: string): NamedVersion[] {
  return PLACES.filter(([files]) => files.test(file)).flatMap(([, pattern]) =>
    Array.from(text.matchAll(pattern), ([, version]) => ({ file, version: version! }))
  );
}

/** The versions of rdma-cni that the project's sources, manifests and documents name. */
export function namedVersions(): NamedVersion[] {
  const directories = ["deployment", "docs", "examples"].flatMap((directory) =>
    readdirSync(PROJECT + directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => `${parentPath}/${name}`.slice(PROJECT.length))
  );
  return ["src/version.ts", "deno.json", "Dockerfile", "README.md", ...directories.sort()]
    .flatMap((file) => versionsIn(file, readFileSync(PROJECT + file, "utf8")));
}

/**
 * The text of a version's section in a changelog.
 *
 * @throws {Error} when there is no such section, or when lines still stand under "Unreleased"
 */
export function sectionOf(changelog: string, version: string): string {
  const sections = new Map(
    changelog.split(/^## /m).slice(1).map((section) => {
      const [heading = "", ...lines] = section.split("\n");
      return [heading.split(" ")[0], lines.join("\n").trim()];
    }),
  );
  if (sections.get("Unreleased")) {
    throw new Error(`CHANGELOG.md has lines under "Unreleased": move them to "${version}"`);
  }
  const text = sections.get(version);
  if (!text) throw new Error(`CHANGELOG.md has no section "${version}": write what has changed`);
  return text;
}

/** @throws {Error} when the project is not ready for the release of this tag */
function releaseNotes(tag: string): string {
  const version = /^v(\d+\.\d+\.\d+)$/.exec(tag)?.[1];
  if (version === undefined) throw new Error(`the tag is "${tag}", expected "vX.Y.Z"`);
  const others = namedVersions().filter((named) => named.version !== version);
  if (others.length > 0) {
    const places = others.map(({ file, version }) => `${file} (${version})`);
    throw new Error(`these files name another version: ${[...new Set(places)].join(", ")}`);
  }
  return sectionOf(readFileSync(`${PROJECT}CHANGELOG.md`, "utf8"), version);
}

if (import.meta.main) {
  const [tag, ...more] = Deno.args;
  if (tag === undefined || more.length > 0) {
    console.error(USAGE);
    Deno.exit(2);
  }
  try {
    console.log(releaseNotes(tag));
  } catch (error) {
    console.error(`Cannot release "${tag}": ${messageOf(error)}`);
    Deno.exit(1);
  }
}
