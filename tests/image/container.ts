import { readCommit } from "../../deployment/build/commit.ts";
import { VERSION } from "../../src/version.ts";
import { run } from "../rig/vm/node/packages.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { assertRunsCompiledForm } from "../support/compiled_form.ts";
import { DOCUMENTS } from "../support/documents.ts";
import { PROJECT } from "../support/project.ts";
import { call, start } from "../support/program.ts";
import { IMAGE } from "./build.ts";
import type { Cases, Engine } from "./engine.ts";

/** The rights that the manifests give. */
const CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"];

export const containerCases: Cases = {
  "installs a plugin that the host can run, and checks it": async (engine) => {
    const directory = await Deno.makeTempDir({ dir: engine.directory });
    const volume = `--volume=${directory}:/host/opt/cni/bin`;
    const by = engine.command("podman", "run", "--rm", ...CONFINED, volume);
    const installed = await start({ by, program: IMAGE, args: ["install"] });
    assertEquals(installed.code, 0, installed.stderr);
    const plugin = `${directory}/rdma`;
    const { stdout } = await start({ program: plugin, args: ["--version"] });
    const [commit] = (await readCommit()).hash.split("-");
    assertStringIncludes(stdout, `rdma-cni ${VERSION}\ncommit ${commit}\n`);
    assertEquals((await call("VERSION", { program: plugin })).json.supportedVersions.at(-1), "1.1.0");
    const names = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
    const program = Deno.readLinkSync(`${directory}/.rdma-cni/current`);
    assertEquals(names(directory), [".rdma-cni", "rdma"]);
    assertEquals(names(`${directory}/.rdma-cni`), ["current", "libmnl.so.0", program]);

    const check = () => start({ by, program: IMAGE, args: ["install", "--check"] });
    assertEquals((await check()).code, 0);
    await Deno.remove(`${directory}/.rdma-cni/libmnl.so.0`);
    const failed = await check();
    assertEquals(failed.code, 1);
    assertMatch(failed.stdout, /^failed: .*libmnl\.so\.0/);
  },

  "is given to nodes without a registry, and its program to people, by the commands of the documents": async (
    engine,
  ) => {
    const text = DOCUMENTS + await Deno.readTextFile(`${PROJECT}examples/README.md`);
    const directory = await Deno.makeTempDir({ dir: engine.directory });
    for (const line of text.match(/^\$ podman (save|create|cp) .*$/gm)!) {
      const command = line.slice(2).replace("registry.example.com", "localhost");
      await engine.run("sh", ["-c", command], directory);
    }
    const { stdout } = await start({ program: `${directory}/rdma-cni`, args: ["--version"] });
    assertStringIncludes(stdout, `rdma-cni ${VERSION}\ncommit `);
    // What "ctr images import" names the image by.
    const [{ RepoTags }] = JSON.parse(
      await run("tar", ["-xOf", `${directory}/rdma-cni.tar`, "manifest.json"]),
    );
    assertEquals(RepoTags, [IMAGE]);
  },
};

/** The program for arm64, run by an emulator of that processor with the image's own libraries. tests/vm has a kernel for it. */
async function emulated(engine: Engine): Promise<{ by: string[]; program: string }> {
  const { root } = await engine.unpack(IMAGE, "arm64");
  return { by: ["qemu-aarch64", "-L", root], program: `${root}/rdma-cni` };
}

export const arm64Cases: Cases = {
  "arm64: runs the compiled form, though another processor built it": async (engine) => {
    const { program, by } = await emulated(engine);
    await assertRunsCompiledForm(program, by);
  },

  "arm64: calls the C library and libmnl": async (engine) => {
    const { stdout } = await start({ ...await emulated(engine), args: ["doctor", "--json"] });
    assertMatch(stdout, /"found: libmnl\.so\.0"/);
  },

  // The flag that refuses links has another value there than on x86_64.
  "arm64: follows no link to a log file": async (engine) => {
    const directory = await Deno.makeTempDir({ dir: engine.directory });
    await Deno.symlink("target", `${directory}/log`);
    const config = { logFile: `${directory}/log`, deviceID: "0000:01:10.0" };
    const { stderr } = await call("ADD", { ...await emulated(engine), config });
    assertMatch(stderr, /symbolic link not followed/);
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), ["log"]);
  },
};
