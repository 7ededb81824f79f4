/** Running an executable on the machine that builds it, whichever architecture it is for. */
import type { Target } from "./runtime_stub.ts";

/** The words before an executable on the command line, and its environment, with which this machine runs it. */
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
 * An executable for this machine's own architecture runs as it is. One for another runs by qemu's emulator, with the
 * libraries in the directory that QEMU_LD_PREFIX names, or Debian's for the target.
 *
 * @returns undefined when this machine cannot run it
 */
export function runnerFor(target: Target): Runner | undefined {
  if (Deno.build.os === "linux" && Deno.build.arch === target) return { by: [], env: {} };
  const libraries = Deno.env.get("QEMU_LD_PREFIX") ?? `/usr/${target}-linux-gnu`;
  const directories = (Deno.env.get("PATH") ?? "").split(":");
  const emulator = directories.map((directory) => `${directory}/qemu-${target}`).find(exists);
  if (!emulator || !exists(`${libraries}/${LOADER[target]}`)) return undefined;
  return { by: [emulator], env: { QEMU_LD_PREFIX: libraries } };
}

/** The Debian packages with which {@linkcode runnerFor} finds an emulator. */
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

/**
 * Runs an executable as a runtime does, with nothing in its environment but the CNI variable.
 *
 * @throws {Error} when it does not answer VERSION
 */
export async function smokeRun(executable: string, runner: Runner): Promise<void> {
  const [command = "", ...args] = [...runner.by, executable];
  const env = { ...runner.env, CNI_COMMAND: "VERSION" };
  const signal = AbortSignal.timeout(60_000);
  const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  const child = new Deno.Command(command, { ...piped, args, signal, clearEnv: true, env, cwd: "/" }).spawn();
  const writer = child.stdin.getWriter();
  const request = new TextEncoder().encode(`{"cniVersion":"1.1.0"}`);
  // A program may answer without reading its input.
  await writer.write(request).then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  const [answer, complaint] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  if (code !== 0 || !supportedVersions(answer)) {
    throw new Error(
      `Cannot accept the executable: CNI_COMMAND=VERSION exited with ${code} and printed "${answer}", wanted 0 ` +
        `and JSON with supportedVersions; its stderr: "${complaint}"`,
    );
  }
  console.error(`smoke run: CNI_COMMAND=VERSION answers ${answer}`);
}

function supportedVersions(answer: string | undefined): boolean {
  try {
    return Array.isArray(JSON.parse(answer ?? "").supportedVersions);
  } catch {
    return false;
  }
}
