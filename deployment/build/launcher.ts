/** The launcher (src/launcher/launcher.c), compiled for a target. */
import { join } from "node:path";
import { PROJECT, runChild } from "./child.ts";
import type { Target } from "./runtime_stub.ts";

/** The name of the launcher's file in the executable, where `install` takes it from. */
export const LAUNCHER = "launcher";

/** Without a C library, and small: one segment, no tables for debuggers, unwinders or other linkers. */
const FLAGS = [
  ..."-Os -std=c17 -Wall -Wextra -Werror -ffreestanding -nostdlib -static -no-pie -fno-pic".split(" "),
  ..."-fno-stack-protector -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns".split(" "),
  ..."-fno-ident -s -Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-z,nosectionheader".split(" "),
];

/** Debian's packages with the compilers; on a machine of the target's architecture `gcc` has it too. */
const PACKAGES: Record<Target, string> = { x86_64: "gcc-x86-64-linux-gnu", aarch64: "gcc-aarch64-linux-gnu" };

/**
 * Compiles the launcher.
 *
 * @param more flags: tests set another socket
 * @throws {Error} without a C compiler for the target, and with what it says
 */
export async function compileLauncher(
  target: Target,
  output: string,
  more: readonly string[] = [],
): Promise<void> {
  const compiler = findCompiler(target);
  const args = [...FLAGS, ...more, "-o", output, join(PROJECT, "src/launcher/launcher.c")];
  await runChild(compiler, args, { cwd: PROJECT, env: { PATH: Deno.env.get("PATH") ?? "" } });
}

function findCompiler(target: Target): string {
  // Debian 13's version first, wherever it is: another one makes other bytes of the same source.
  const names = [`${target}-linux-gnu-gcc-14`, `${target}-linux-gnu-gcc`];
  if (target === Deno.build.arch) names.push("gcc", "cc");
  const directories = (Deno.env.get("PATH") ?? "").split(":");
  const found = names.flatMap((name) => directories.map((directory) => `${directory}/${name}`)).find(exists);
  if (found) return found;
  const packages = target === Deno.build.arch ? "gcc" : PACKAGES[target];
  throw new Error(
    `Cannot compile the launcher for ${target}: found none of ${names.join(", ")} in PATH; ` +
      `install a C compiler (Debian: apt-get install ${packages})`,
  );
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
