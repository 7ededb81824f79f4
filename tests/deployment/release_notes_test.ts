// A version stands in many files, and a release has its section of the changelog as text.
import { namedVersions, sectionOf } from "../../deployment/build/release_notes.ts";
import { VERSION } from "../../src/version.ts";
import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "../support/assert.ts";
import { start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";

Deno.test("all files that name a version name the program's", () => {
  const named = namedVersions();
  assertEquals(named.filter(({ version }) => version !== VERSION), []);
  const files = new Set(named.map(({ file }) => file));
  const wanted = ["src/version.ts", "deno.json", "Dockerfile", "deployment/kubernetes/daemonset.yaml"];
  wanted.push("deployment/helm/rdma-cni/Chart.yaml", "docs/deployment.md", "examples/README.md");
  assertEquals(wanted.filter((file) => !files.has(file)), []);
});

Deno.test("the changelog has a section of this version, with a date", () => {
  const changelog = Deno.readTextFileSync(`${PROJECT}CHANGELOG.md`);
  assertMatch(changelog, new RegExp(`^## ${VERSION.replaceAll(".", "\\.")} - \\d{4}-\\d\\d-\\d\\d$`, "m"));
});

const CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.1.0 - 2026-02-01\n\n### Added\n\n- one\n\n" +
  "## 1.0.0 - 2026-01-01\n\n- first\n";

Deno.test("the text of a release is its section of the changelog", () => {
  assertEquals(sectionOf(CHANGELOG, "1.1.0"), "### Added\n\n- one");
  assertEquals(sectionOf(CHANGELOG, "1.0.0"), "- first");
});

Deno.test("a version without text, or with lines that are not its own yet, is not released", () => {
  const refused = (changelog: string, version: string, message: string) =>
    assertThrows(() => sectionOf(changelog, version), Error, message);
  refused(CHANGELOG, "1.1.1", 'no section "1.1.1"');
  refused(CHANGELOG.replace("- first", ""), "1.0.0", 'no section "1.0.0"');
  refused(CHANGELOG.replace("Unreleased\n", "Unreleased\n\n- two\n"), "1.1.0", 'lines under "Unreleased"');
});

for (
  const [tag, code, message] of [
    [`v${VERSION}.1`, 1, `the tag is "v${VERSION}.1", expected "vX.Y.Z"`],
    ["v999.0.0", 1, `these files name another version: src/version.ts (${VERSION}), deno.json`],
    [undefined, 2, "Usage: deno task release-notes vX.Y.Z"],
  ] as const
) {
  Deno.test(`the tag ${JSON.stringify(tag)} is refused`, async () => {
    const args = ["run", "--allow-all", "deployment/build/release_notes.ts", tag ?? []].flat();
    const outcome = await start({ program: Deno.execPath(), args, cwd: PROJECT, env: Deno.env.toObject() });
    assertEquals([outcome.code, outcome.stdout], [code, ""]);
    assertStringIncludes(outcome.stderr, message);
  });
}
