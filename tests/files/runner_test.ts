import { runnerFor } from "../../deployment/build/runner.ts";
import type { Target } from "../../deployment/build/runtime_stub.ts";
import { assertEquals } from "../support/assert.ts";
import { Root } from "./root.ts";

const own = Deno.build.arch as Target;
const [target, loader] = own === "x86_64"
  ? ["aarch64", "/lib/ld-linux-aarch64.so.1"] as const
  : ["x86_64", "/lib64/ld-linux-x86-64.so.2"] as const;
const QEMU = `/qemu-${target}`;

Deno.test("an executable for this machine's architecture is run as it is", () => {
  assertEquals(runnerFor(own), { by: [], env: {} });
});

for (const files of [[QEMU, loader], [QEMU], [loader]]) {
  Deno.test(`one for another architecture is run by qemu with the libraries that it names, if both are there: ${files}`, () => {
    using root = new Root(Object.fromEntries(files.map((file) => [file, ""])));
    const variables = { PATH: `/nowhere:${root.path}`, QEMU_LD_PREFIX: root.path };
    const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
    try {
      for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
      const runner = { by: [root.path + QEMU], env: { QEMU_LD_PREFIX: root.path } };
      assertEquals(runnerFor(target), files.length === 2 ? runner : undefined);
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) Deno.env.delete(name);
        else Deno.env.set(name, value);
      }
    }
  });
}
