// The runtime stub is what its hash says, or it is not used.
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { assertPinnedStub, pinnedStub } from "../../deployment/build/runtime_stub.ts";
import { assertEquals, assertRejects, assertThrows } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";

type Module = typeof import("../../deployment/build/runtime_stub.ts");

/** Imports the module from a directory with what it imports, so that what earlier builds kept is out of sight. */
async function importInto({ path: directory }: TestDirectory): Promise<Module> {
  const modules = ["runtime_stub", "npm_package", "child"].map((name) => `deployment/build/${name}.ts`);
  for (const path of [...modules, "src/sys/errno.ts"]) {
    await Deno.mkdir(dirname(`${directory}/${path}`), { recursive: true });
    await Deno.copyFile(PROJECT + path, `${directory}/${path}`);
  }
  return await import(`file://${directory}/deployment/build/runtime_stub.ts`);
}

/** Sets a variable of the environment, or none, until it is disposed of. */
function setVariable(name: string, value: string | undefined): Disposable {
  const before = Deno.env.get(name);
  const set = (value: string | undefined) =>
    value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
  set(value);
  return { [Symbol.dispose]: () => set(before) };
}

/** Bytes as `deno compile` makes them, with a stub that is the text "stub". */
function executable(): Uint8Array {
  const program = new TextEncoder().encode("program");
  const size = new BigUint64Array([BigInt(program.length + 24)]);
  const trailer = [
    ...new TextEncoder().encode("d3n0l4nd"),
    ...new Uint8Array(8),
    ...new Uint8Array(size.buffer),
  ];
  return Uint8Array.of(...new TextEncoder().encode("stub"), ...program, ...trailer);
}

Deno.test("an executable with another stub is not trusted, and the message has both hashes", () => {
  const found = createHash("sha256").update("stub").digest("hex");
  for (const target of ["x86_64", "aarch64"] as const) {
    const message = `for ${target}): its hash is "${found}", wanted "${pinnedStub(target).sha256}"`;
    assertThrows(() => assertPinnedStub(executable(), target), Error, message);
  }
});

Deno.test("a kept stub that has changed is passed over", async () => {
  using directory = new TestDirectory();
  const { stubAtHand, stubPath } = await importInto(directory);
  await Deno.mkdir(`${directory.path}/dist/runtime`, { recursive: true });
  await Deno.writeTextFile(stubPath("x86_64"), "another stub");
  using _ = setVariable("DENORT_BIN", undefined);
  assertEquals(await stubAtHand("x86_64"), undefined);
});

Deno.test("a package that is not the pinned one is not even unpacked, and nothing is kept of it", async () => {
  using directory = new TestDirectory();
  const { stubFromNpm } = await importInto(directory);
  const programs = `${directory.path}/programs`;
  await Deno.mkdir(programs);
  for (
    const [name, script] of [["npm", 'echo tarball >"$4/package.tgz"'], ["tar", ': >"${0%/*}/unpacked"']]
  ) {
    await Deno.writeTextFile(`${programs}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  // These alone: where they cannot be executed, the machine's npm must not take their place.
  using _ = setVariable("PATH", programs);
  await assertRejects(() => stubFromNpm("x86_64"), Error, "Cannot trust @stdy/cli-linux-x64");
  assertEquals([directory.names("dist/runtime"), directory.names("programs")], [[], ["npm", "tar"]]);
  assertEquals(directory.names(), ["deployment", "dist", "programs", "src"]);
});
