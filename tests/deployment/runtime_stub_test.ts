// The runtime stub is what its hash says, or it is not used.
import { dirname } from "node:path";
import { appendedSize, assertPinnedStub, pinnedStub } from "../../deployment/build/runtime_stub.ts";
import { assertEquals, assertRejects, assertThrows } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";

/** A directory with the module and what it imports, so that what earlier builds kept is out of sight. */
async function withCopy(
  work: (module: typeof import("../../deployment/build/runtime_stub.ts"), directory: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    const modules = ["runtime_stub", "npm_package", "child"].map((name) => `deployment/build/${name}.ts`);
    for (const path of [...modules, "src/sys/errno.ts"]) {
      await Deno.mkdir(dirname(`${directory}/${path}`), { recursive: true });
      await Deno.copyFile(PROJECT + path, `${directory}/${path}`);
    }
    await work(await import(`file://${directory}/deployment/build/runtime_stub.ts`), directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Bytes as `deno compile` makes them. */
function executable(stub: string, program: string): Uint8Array {
  const trailer = new DataView(new ArrayBuffer(24));
  trailer.setBigUint64(16, BigInt(program.length + 24), true);
  const bytes = new Uint8Array(trailer.buffer);
  bytes.set(new TextEncoder().encode("d3n0l4nd"));
  return Uint8Array.of(...new TextEncoder().encode(stub + program), ...bytes);
}

Deno.test("the stub of an executable is all before what was appended", () => {
  const bytes = executable("stub", "program");
  assertEquals(new TextDecoder().decode(bytes.subarray(0, bytes.length - appendedSize(bytes))), "stub");
});

Deno.test("an executable with another stub is not trusted, and the message has both hashes", async () => {
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode("stub")));
  const hex = Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
  for (const target of ["x86_64", "aarch64"] as const) {
    const message = `for ${target}): its hash is "${hex}", wanted "${pinnedStub(target).sha256}"`;
    assertThrows(() => assertPinnedStub(executable("stub", "program"), target), Error, message);
  }
});

Deno.test("a kept stub that has changed is passed over", () =>
  withCopy(async ({ stubAtHand, stubPath }, directory) => {
    await Deno.mkdir(`${directory}/dist/runtime`, { recursive: true });
    await Deno.writeTextFile(stubPath("x86_64"), "another stub");
    const given = Deno.env.get("DENORT_BIN");
    Deno.env.delete("DENORT_BIN");
    try {
      assertEquals(await stubAtHand("x86_64"), undefined);
    } finally {
      if (given !== undefined) Deno.env.set("DENORT_BIN", given);
    }
  }));

Deno.test("a package that is not the pinned one is not even unpacked, and nothing is kept of it", () =>
  withCopy(async ({ stubFromNpm }, directory) => {
    const programs = `${directory}/programs`;
    await Deno.mkdir(programs);
    await Deno.writeTextFile(`${programs}/npm`, '#!/bin/sh\necho tarball >"$4/package.tgz"\n', {
      mode: 0o755,
    });
    await Deno.writeTextFile(`${programs}/tar`, `#!/bin/sh\n: >"${directory}/unpacked"\n`, { mode: 0o755 });
    const path = Deno.env.get("PATH");
    // These alone: where they cannot be executed, the machine's npm must not take their place.
    Deno.env.set("PATH", programs);
    try {
      await assertRejects(() => stubFromNpm("x86_64"), Error, "Cannot trust @stdy/cli-linux-x64");
    } finally {
      Deno.env.set("PATH", path!);
    }
    assertEquals([...Deno.readDirSync(`${directory}/dist/runtime`)], []);
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
      "deployment",
      "dist",
      "programs",
      "src",
    ]);
  }));
