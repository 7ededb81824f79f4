// The Deno that people, workflows and images run is the one whose runtime stub is pinned.
import { pinnedStub } from "../../deployment/build/runtime_stub.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { filesIn, PROJECT } from "../support/project.ts";

const { version: pinned } = pinnedStub("x86_64");

/** The ways in which files name a version of Deno. */
const VERSION = /\b(?:deno@|Deno |deno:debian-|DENO_VERSION(?:=|` *\| `))(\d+\.\d+\.\d+)/g;

const FILES = [
  ...[".ci/run", "Dockerfile", "README.md", "CONTRIBUTING.md", "SECURITY.md"],
  ...[...filesIn("docs", ".md"), ...filesIn("examples", ".md"), ...filesIn(".github/workflows", ".yml")],
];

function versionsIn(file: string): string[] {
  const text = Deno.readTextFileSync(`${PROJECT}${file}`);
  return Array.from(text.matchAll(VERSION), ([, version]) => version!);
}

/** The version on which "deno task test:next" runs the fast tests. */
const [next] = versionsIn("deno.json");

Deno.test("files name the Deno whose runtime stub is pinned", () => {
  for (const file of FILES) {
    const own = file === "docs/development.md" ? [pinned, next] : [pinned];
    assertEquals(versionsIn(file).filter((version) => !own.includes(version)), [], file);
  }
});

Deno.test("what starts Deno names its version", () => {
  const starting = [".ci/run", "Dockerfile", "README.md", "CONTRIBUTING.md", "docs/development.md"];
  starting.push(...filesIn(".github/workflows", ".yml"));
  assertEquals(starting.filter((file) => !versionsIn(file).includes(pinned)), []);
});

Deno.test("the fast tests run on a newer Deno too, and the documents name the same one", () => {
  assertEquals([...new Set(versionsIn("deno.json"))], [next]);
  assert(next !== pinned && versionsIn("docs/development.md").includes(next!));
});
