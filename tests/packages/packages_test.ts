// Builds the packages, looks into them, and installs, upgrades and removes them on a Debian where nothing else runs.
import { VERSION } from "../../src/version.ts";
import { otherBuild, PROGRAM } from "../support/program.ts";
import { buildIn, type Packages } from "./build.ts";
import { contentCases } from "./content.ts";
import { MANAGERS, nodeSteps } from "./node.ts";
import { Root } from "./root.ts";

const OTHER_VERSION = `${VERSION}.1`;

Deno.test("the packages", async (t) => {
  const directory = await Deno.makeTempDir();
  try {
    const packages = await buildIn(`${directory}/packages`);
    for (const [name, run] of Object.entries(contentCases)) {
      await t.step(name, () => run(packages, directory));
    }

    const executable = await otherBuild(`${directory}/other`);
    for (const list of ["cdx.json", "licenses.txt"]) {
      await Deno.copyFile(`${PROGRAM}.${list}`, `${executable}.${list}`);
    }
    const others = await buildIn(`${directory}/packages`, { executable, version: OTHER_VERSION });
    for (const kind of ["deb", "rpm"] satisfies (keyof Packages)[]) {
      await t.step(`the ${kind}`, async (t) => {
        await using root = await Root.make();
        const files = { [VERSION]: packages[kind], [OTHER_VERSION]: others[kind] };
        for (const [name, run] of Object.entries(nodeSteps)) {
          await t.step(name, () => run({ root, manager: MANAGERS[kind], files }));
        }
      });
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
