import { VERSION } from "../../src/version.ts";
import { assertEquals } from "../assert.ts";
import { call, start } from "../binary/program.ts";
import { IMAGE } from "./build.ts";
import type { Engine } from "./engine.ts";
import type { Cases } from "./image_test.ts";

/** The rights that the manifests give. */
const CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"];

/** Runs the image's program, in a container that is removed then; a folder of the host's is at /host/opt/cni/bin. */
function runConfined(
  engine: Engine,
  folder: string,
  args: string[],
  options: string[] = [],
): Promise<string> {
  const volume = `--volume=${folder}:/host/opt/cni/bin`;
  return engine.run("podman", ["run", "--rm", ...CONFINED, volume, ...options, IMAGE, ...args]);
}

async function withInstalled(engine: Engine, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ dir: engine.folder });
  await runConfined(engine, folder, ["install"]);
  await work(folder);
}

export const containerCases: Cases = {
  "installs a plugin that the host can run": (engine) =>
    withInstalled(engine, async (folder) => {
      const program = `${folder}/rdma`;
      assertEquals((await start({ program, args: ["--version"] })).stdout, `rdma-cni ${VERSION}\n`);
      assertEquals((await call("VERSION", { program })).json.supportedVersions.at(-1), "1.1.0");
      const names = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
      assertEquals([names(folder), names(`${folder}/.rdma-cni`)], [[".rdma-cni", "rdma"], ["libmnl.so.0"]]);
    }),

  "checks what is installed": (engine) =>
    withInstalled(engine, async (folder) => {
      assertEquals((await runConfined(engine, folder, ["install", "--check"])).slice(0, 3), "ok:");
      await Deno.remove(`${folder}/.rdma-cni/libmnl.so.0`);
      const failure = await runConfined(engine, folder, ["install", "--check"]).catch((error) =>
        error.message
      );
      assertEquals(/exit status 1\nfailed: .*libmnl\.so\.0/.test(failure), true, failure);
    }),

  "installs a libmnl that is used where the system has none": (engine) =>
    withInstalled(engine, async (folder) => {
      const system = "/usr/lib/x86_64-linux-gnu/libmnl.so.0.2.0";
      const options = [`--volume=/dev/null:${system}`, "--entrypoint=/host/opt/cni/bin/rdma"];
      // The doctor has found much on this machine and so fails; its answer is on standard output all the same.
      const answer = await runConfined(engine, folder, ["doctor", "--json"], options).catch((error) =>
        error.message
      );
      const found = /"text":\s*"found: ([^"]*)"/.exec(answer)?.[1];
      assertEquals(found, "/host/opt/cni/bin/.rdma-cni/libmnl.so.0", answer);
    }),
};
