// Builds the packages, looks into them, and installs, upgrades and removes them on a Debian where nothing else runs.
import { otherBuild } from "../support/program.ts";
import { buildIn, buildOther, OTHER_VERSION } from "./build.ts";
import { contentCases } from "./content.ts";
import { MANAGERS, nodeSteps } from "./node.ts";
import { Root } from "./root.ts";

Deno.test("the packages", async (t) => {
  const directory = await Deno.makeTempDir();
  try {
    const packages = await buildIn(directory);
    for (const [name, run] of Object.entries(contentCases)) {
      await t.step(name, () => run(packages, directory));
    }

    const others = await buildOther(directory, await otherBuild(`${directory}/program`), {
      version: OTHER_VERSION,
    });
    for (const kind of ["deb", "rpm"] as const) {
      await t.step(`the ${kind}`, async (t) => {
        await using root = await Root.make();
        const node = { root, manager: MANAGERS[kind], file: packages[kind], otherFile: others[kind] };
        for (const [name, run] of Object.entries(nodeSteps)) await t.step(name, () => run(node));
      });
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
