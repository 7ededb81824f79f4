import { compileLauncher } from "../../deployment/build/launcher.ts";
import type { Target } from "../../deployment/build/runtime_stub.ts";

/** Compiles the launcher, as the build does. @param more flags, such as the place of another socket */
export async function makeLauncher(
  target: Target,
  more: readonly string[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  const file = await Deno.makeTempFile();
  try {
    await compileLauncher(target, file, more);
    return await Deno.readFile(file);
  } finally {
    await Deno.remove(file);
  }
}

export const LAUNCHER = { x86_64: await makeLauncher("x86_64"), aarch64: await makeLauncher("aarch64") };

export type Arch = keyof typeof LAUNCHER;

const EMULATORS = { x86_64: "qemu-x86_64", aarch64: "qemu-aarch64" };

/** What starts a launcher here. */
export function wordsFor(arch: Arch, path: string): string[] {
  return arch === Deno.build.arch ? [path] : [EMULATORS[arch], path];
}
