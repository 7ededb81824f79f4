import { readCommit } from "../../deployment/build/commit.ts";
import { VERSION } from "../../src/version.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { DOCUMENTS } from "../support/documents.ts";
import { call, type Outcome, start } from "../support/program.ts";
import { IMAGE } from "./build.ts";
import type { Cases } from "./cases.ts";
import type { Engine } from "./engine.ts";

/** The rights that the manifests give. */
const CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"];

/** Runs the image, in a container that is removed then; a directory of the host's is at /host/opt/cni/bin. */
export function runConfined(
  engine: Engine,
  directory: string,
  args: string[],
  options: string[] = [],
): Promise<Outcome> {
  const volume = `--volume=${directory}:/host/opt/cni/bin`;
  const by = engine.command("podman", "run", "--rm", ...CONFINED, volume, ...options);
  return start({ by, program: IMAGE, args });
}

async function withInstalled(engine: Engine, work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ dir: engine.directory });
  const { code, stderr } = await runConfined(engine, directory, ["install"]);
  assertEquals(code, 0, stderr);
  await work(directory);
}

export const containerCases: Cases = {
  "installs a plugin that the host can run": (engine) =>
    withInstalled(engine, async (directory) => {
      const plugin = `${directory}/rdma`;
      const { stdout } = await start({ program: plugin, args: ["--version"] });
      const [commit] = (await readCommit()).hash.split("-");
      assertStringIncludes(stdout, `rdma-cni ${VERSION}\ncommit ${commit}\n`);
      assertEquals((await call("VERSION", { program: plugin })).json.supportedVersions.at(-1), "1.1.0");
      const names = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
      const program = Deno.readLinkSync(`${directory}/.rdma-cni/current`);
      assertEquals([names(directory), names(`${directory}/.rdma-cni`)], [
        [".rdma-cni", "rdma"],
        ["current", "libmnl.so.0", program],
      ]);
    }),

  "checks what is installed": (engine) =>
    withInstalled(engine, async (directory) => {
      assertEquals((await runConfined(engine, directory, ["install", "--check"])).code, 0);
      await Deno.remove(`${directory}/.rdma-cni/libmnl.so.0`);
      const { code, stdout } = await runConfined(engine, directory, ["install", "--check"]);
      assertEquals(code, 1);
      assertMatch(stdout, /^failed: .*libmnl\.so\.0/);
    }),

  "installs a libmnl that is used where the system has none": (engine) =>
    withInstalled(engine, async (directory) => {
      const system = "/usr/lib/x86_64-linux-gnu/libmnl.so.0.2.0";
      const options = [`--volume=/dev/null:${system}`, "--entrypoint=/host/opt/cni/bin/rdma"];
      const listVfs = () => runConfined(engine, directory, ["vf-mac", "list"], options);
      assertEquals((await listVfs()).code, 0);
      await Deno.remove(`${directory}/.rdma-cni/libmnl.so.0`);
      assertStringIncludes((await listVfs()).stderr, "Cannot open libmnl");
    }),

  "is given to nodes without a registry, and its program to people, by the commands of the documents": async (
    engine,
  ) => {
    const examples = await Deno.readTextFile(new URL("../../examples/README.md", import.meta.url));
    const commands = (DOCUMENTS + examples)
      .match(/^\$ podman (save|create|cp) .*$/gm)!.map((line) =>
        line.slice(2).replace("registry.example.com", "localhost")
      );
    const directory = await Deno.makeTempDir({ dir: engine.directory });
    for (const command of commands) await engine.run("sh", ["-c", command], directory);
    const { stdout } = await start({ program: `${directory}/rdma-cni`, args: ["--version"] });
    assertStringIncludes(stdout, `rdma-cni ${VERSION}\ncommit `);
    // What "ctr images import" names the image by.
    const list = new Deno.Command("tar", { args: ["-xOf", `${directory}/rdma-cni.tar`, "manifest.json"] });
    const [{ RepoTags }] = JSON.parse(new TextDecoder().decode((await list.output()).stdout));
    assertEquals(RepoTags, [IMAGE]);
  },
};
