// Builds the packages, looks into them, and installs, upgrades and removes them on a Debian where nothing else runs.
import { otherBuild } from "../support/program.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { buildIn, buildOther, contentCases, OTHER_VERSION } from "./content.ts";
import { MANAGERS, nodeSteps } from "./node.ts";
import { Root } from "./root.ts";

Deno.test("the packages", async (t) => {
  using directory = new TestDirectory();
  const { path } = directory;
  const packages = await buildIn(path);
  for (const [name, run] of Object.entries(contentCases)) await t.step(name, () => run(packages, path));

  const others = await buildOther(path, await otherBuild(`${path}/program`), { version: OTHER_VERSION });
  for (const kind of ["deb", "rpm"] as const) {
    await t.step(`the ${kind}`, async (t) => {
      using root = await Root.make();
      const node = { root, manager: MANAGERS[kind], file: packages[kind], otherFile: others[kind] };
      for (const [name, run] of Object.entries(nodeSteps)) await t.step(name, () => run(node));
    });
  }
});
