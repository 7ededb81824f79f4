import { runnerFor } from "../../deployment/build/runner.ts";
import type { Target } from "../../deployment/build/runtime_stub.ts";
import { assertEquals } from "../support/assert.ts";

const FOREIGN: Record<Target, { target: Target; loader: string }> = {
  x86_64: { target: "aarch64", loader: "lib/ld-linux-aarch64.so.1" },
  aarch64: { target: "x86_64", loader: "lib64/ld-linux-x86-64.so.2" },
};
const own = Deno.build.arch as Target;
const { target, loader } = FOREIGN[own];

/** What is found with files in a directory, in which programs are looked for and the target's libraries. */
function runnerWith(files: string[]): { directory: string; runner: ReturnType<typeof runnerFor> } {
  const directory = Deno.makeTempDirSync();
  const before = { PATH: Deno.env.get("PATH"), QEMU_LD_PREFIX: Deno.env.get("QEMU_LD_PREFIX") };
  try {
    for (const file of files) {
      Deno.mkdirSync(`${directory}/${file}`.replace(/[^/]*$/, ""), { recursive: true });
      Deno.writeTextFileSync(`${directory}/${file}`, "");
    }
    Deno.env.set("PATH", `/nowhere:${directory}`);
    Deno.env.set("QEMU_LD_PREFIX", directory);
    return { directory, runner: runnerFor(target) };
  } finally {
    Deno.removeSync(directory, { recursive: true });
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
}

Deno.test("an executable for this machine's architecture is run as it is", () => {
  assertEquals(runnerFor(own), { by: [], env: {} });
});

Deno.test("one for another architecture is run by qemu, with the libraries that it names", () => {
  const { directory, runner } = runnerWith([`qemu-${target}`, loader]);
  assertEquals(runner, { by: [`${directory}/qemu-${target}`], env: { QEMU_LD_PREFIX: directory } });
});

for (const [missing, file] of [["libraries", `qemu-${target}`], ["qemu", loader]] as const) {
  Deno.test(`without ${missing} it cannot be run`, () => {
    assertEquals(runnerWith([file]).runner, undefined);
  });
}
