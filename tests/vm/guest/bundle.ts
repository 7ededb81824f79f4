import { fileURLToPath } from "node:url";

const GUEST = new URL(".", import.meta.url);
const CASES = new URL("../cases/", import.meta.url);

/** Makes the guest's program that runs the cases: every file of cases, then main.ts. See {@linkcode bundleGuest}. */
export async function bundleCases(directory: string): Promise<string> {
  return await bundleGuest(directory, [
    new URL("rig_cases.ts", GUEST),
    ...await caseFiles(),
    new URL("main.ts", GUEST),
  ]);
}

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
    cwd: fileURLToPath(GUEST),
    stdout: "null",
  }).output();
  if (!success) throw new Error(`Cannot bundle the guest's program:\n${new TextDecoder().decode(stderr)}`);
  return bundle;
}

async function caseFiles(): Promise<URL[]> {
  const files: URL[] = [];
  try {
    for await (const { name } of Deno.readDir(CASES)) {
      if (name.endsWith(".ts")) files.push(new URL(name, CASES));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return files.sort((a, b) => a.href < b.href ? -1 : 1);
}
