import { assert, assertEquals } from "../support/assert.ts";
import { filesIn, PROJECT } from "../support/project.ts";

const stub = await Deno.readTextFile(`${PROJECT}deployment/build/runtime_stub.ts`);
const pinned = /const PINNED_VERSION = "([\d.]+)"/.exec(stub)![1]!;

const FILES = [
  ...[".ci/run", "README.md", "CONTRIBUTING.md", "docs/development.md"],
  ...filesIn(".github/workflows", ".yml"),
];

for (const file of FILES) {
  Deno.test(`${file} starts the Deno whose runtime stub is pinned`, async () => {
    const text = await Deno.readTextFile(`${PROJECT}${file}`);
    const versions = Array.from(text.matchAll(/\bdeno@(\d[\d.]*\d)/g), ([, version]) => version);
    assert(versions.length > 0, `"deno@VERSION" is not in ${file}`);
    assertEquals(versions.filter((version) => version !== pinned), []);
  });
}

Deno.test("the Dockerfile takes the Deno whose runtime stub is pinned", async () => {
  const text = await Deno.readTextFile(`${PROJECT}Dockerfile`);
  assertEquals(/^ARG DENO_VERSION=(.*)$/m.exec(text)?.[1], pinned);
  assertEquals(/^ARG BUILD_BASE=docker\.io\/denoland\/deno:debian-([\d.]+)/m.exec(text)?.[1], pinned);
});
