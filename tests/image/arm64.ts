// The image for arm64, its program run by an emulator of that processor with the image's own libraries.
import { VERSION } from "../../src/version.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";
import { assertRunsCompiledForm } from "../support/compiled_form.ts";
import { assertFailed, call, start } from "../support/program.ts";
import { IMAGE } from "./build.ts";
import type { Cases } from "./cases.ts";
import type { Engine } from "./engine.ts";

async function emulated(engine: Engine): Promise<{ by: string[]; program: string; root: string }> {
  const { root } = await engine.unpack(IMAGE, "arm64");
  return { root, by: ["qemu-aarch64", "-L", root], program: `${root}/rdma-cni` };
}

export const arm64Cases: Cases = {
  "arm64: tells its version": async (engine) => {
    const { code, stdout } = await start({ ...await emulated(engine), args: ["--version"] });
    assertEquals([code, stdout.split("\n")[0]], [0, `rdma-cni ${VERSION}`]);
  },

  "arm64: answers VERSION": async (engine) => {
    const { code, json } = await call("VERSION", await emulated(engine));
    assertEquals([code, json.cniVersion, json.supportedVersions.at(-1)], [0, "1.1.0", "1.1.0"]);
  },

  "arm64: runs the compiled form, though another processor built it": async (engine) => {
    const { program, by } = await emulated(engine);
    await assertRunsCompiledForm(program, by);
  },

  "arm64: refuses a wrong configuration": async (engine) => {
    assertFailed(await call("ADD", { ...await emulated(engine), config: { deviceID: 7 } }), 7, "deviceID");
  },

  "arm64: calls the C library and libmnl": async (engine) => {
    const { stdout } = await start({ ...await emulated(engine), args: ["doctor", "--json"] });
    assertMatch(stdout, /"found: libmnl\.so\.0"/);
  },

  // The flag that refuses links has another value there than on x86_64.
  "arm64: follows no link to a log file": async (engine) => {
    const directory = await Deno.makeTempDir({ dir: engine.directory });
    await Deno.symlink("target", `${directory}/log`);
    const { stderr } = await call("ADD", {
      ...await emulated(engine),
      config: { logFile: `${directory}/log`, deviceID: "0000:01:10.0" },
    });
    assertMatch(stderr, /symbolic link not followed/);
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), ["log"]);
  },

  // More than the dry run needs a kernel that runs programs of that architecture: the copy is tried before it is used.
  "arm64: tells what install would do": async (engine) => {
    const directory = await Deno.makeTempDir({ dir: engine.directory });
    const args = ["install", "--dry-run", "--cni-bin-dir", directory];
    const { code, stdout, stderr } = await start({ ...await emulated(engine), args });
    assertEquals([code, stdout.split("\n").length], [0, 5], stderr);
    assertEquals([...Deno.readDirSync(directory)], []);
  },
};
