// The image for arm64, its program run by an emulator of that processor with the image's own libraries. What the program
// does on a kernel for arm64 is in tests/vm.
import { assertEquals, assertMatch } from "../support/assert.ts";
import { assertRunsCompiledForm } from "../support/compiled_form.ts";
import { call, start } from "../support/program.ts";
import { IMAGE } from "./build.ts";
import type { Cases, Engine } from "./engine.ts";

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
