import { fileURLToPath } from "node:url";

/**
 * Makes one file of the modules of a program for the guest, which has no way to fetch or to compile much.
 *
 * @returns the path of the file
 * @throws {Error} with what the bundler said, if it fails
 */
export async function bundleGuest(directory: string, modules: URL[]): Promise<string> {
  const entry = `${directory}/guest_entry.ts`;
  const bundle = `${directory}/guest.js`;
  await Deno.writeTextFile(entry, modules.map((url) => `import ${JSON.stringify(url.href)};\n`).join(""));
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--output", bundle, entry],
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    stdout: "null",
  }).output();
  if (!success) throw new Error(`Cannot bundle the guest's program:\n${new TextDecoder().decode(stderr)}`);
  return bundle;
}
