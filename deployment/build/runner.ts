import type { Target } from "./runtime_stub.ts";

/** How this machine runs an executable: what stands before it on the command line, and in its environment. */
export interface Runner {
  by: string[];
  env: Record<string, string>;
}

/** The loader that an executable for the target names, below the directory with the target's libraries. */
const LOADER: Record<Target, string> = {
  x86_64: "lib64/ld-linux-x86-64.so.2",
  aarch64: "lib/ld-linux-aarch64.so.1",
};

/** Debian's name of the architecture. */
const DEBIAN: Record<Target, string> = { x86_64: "amd64", aarch64: "arm64" };

/**
 * An executable for this machine's own architecture is run as it is, one for another by qemu's emulator if that is
 * there, with the libraries that QEMU_LD_PREFIX names or Debian's for the target. Undefined when it cannot be run.
 */
export function runnerFor(target: Target): Runner | undefined {
  if (Deno.build.os === "linux" && Deno.build.arch === target) return { by: [], env: {} };
  const libraries = Deno.env.get("QEMU_LD_PREFIX") ?? `/usr/${target}-linux-gnu`;
  const directories = (Deno.env.get("PATH") ?? "").split(":");
  const emulator = directories.map((directory) => `${directory}/qemu-${target}`).find(exists);
  if (!emulator || !exists(`${libraries}/${LOADER[target]}`)) return undefined;
  return { by: [emulator], env: { QEMU_LD_PREFIX: libraries } };
}

/** What Debian has to have for {@linkcode runnerFor} to find an emulator. */
export function emulatorPackages(target: Target): string {
  return `qemu-user, libc6-${DEBIAN[target]}-cross and libgcc-s1-${DEBIAN[target]}-cross`;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
