import { fileURLToPath } from "node:url";
import { compile } from "../../../../deployment/build/compile.ts";
import { run } from "./packages.ts";
import type { Node } from "./prepare.ts";

/**
 * Makes one executable of the modules of a program for the guest, which may have another processor architecture and has
 * no Deno.
 *
 * @returns the path of the executable
 * @throws {Error} with what the bundler or the compiler said, if it fails
 */
export async function buildGuestProgram(
  { directory, architecture: { target } }: Node,
  modules: URL[],
): Promise<string> {
  const entry = `${directory}/guest_entry.ts`;
  const program = `${directory}/guest`;
  await Deno.writeTextFile(entry, modules.map((url) => `import ${JSON.stringify(url.href)};\n`).join(""));
  const stage = await Deno.makeTempDir({ dir: directory });
  try {
    const here = fileURLToPath(new URL(".", import.meta.url));
    await run(Deno.execPath(), ["bundle", "--quiet", "--output", `${stage}/main.js`, entry], here);
    await compile({ directory: stage, output: program, target, v8Flags: [] });
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
  return program;
}
