import { fileURLToPath } from "node:url";
import { compile } from "../../../../deployment/build/compile.ts";
import { run } from "./packages.ts";
import type { Node } from "./prepare.ts";

/** Makes one executable of modules for the guest, which has no Deno. @returns its path */
export async function buildGuestProgram(
  { directory, architecture: { target } }: Node,
  modules: URL[],
): Promise<string> {
  const entry = `${directory}/guest_entry.ts`;
  const output = `${directory}/guest`;
  await Deno.writeTextFile(entry, modules.map((url) => `import ${JSON.stringify(url.href)};\n`).join(""));
  const stage = await Deno.makeTempDir({ dir: directory });
  try {
    const here = fileURLToPath(new URL(".", import.meta.url));
    await run(Deno.execPath(), ["bundle", "--quiet", "--output", `${stage}/main.js`, entry], here);
    await compile({ directory: stage, output, target, v8Flags: [] });
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
  return output;
}
