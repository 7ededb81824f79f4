import { basename, dirname, join, relative, resolve } from "node:path";
import { type Bundle, bundle } from "./bundle.ts";
import { denoEnv, runChild } from "./child.ts";
import { PROJECT } from "./project.ts";
import {
  appendedSize,
  assertPinnedDeno,
  assertPinnedStub,
  stubAtHand,
  stubFromNpm,
  stubPackage,
  stubPath,
  type Target,
} from "./runtime_stub.ts";

export interface CompileOptions {
  /** The program's first module. */
  entry: string;
  /** The executable, replaced at once when everything has gone well. */
  output: string;
  target: Target;
  /** A last look at the finished executable, before it takes its place; a throw keeps it from there. */
  accept?: (executable: string) => Promise<void>;
  /** Stops the build; nothing is left behind. */
  signal?: AbortSignal;
}

/** Deno's own download of the stub has no time limit, and where packets are dropped it hangs. */
const DOWNLOAD_LIMIT_MS = 60_000;

/** What `deno compile` may append beyond the bundle: trailer and metadata, but no forgotten package. */
const OVERHEAD_LIMIT = 64 * 1024;

/** The number by which an ELF header names the architecture (e_machine in elf.h). */
const ELF_MACHINE: Record<Target, number> = { x86_64: 62, aarch64: 183 };

/** Bundles and compiles one program into an executable, telling its progress on stderr; returns what is in it. */
export async function compile({ entry, output, target, accept, signal }: CompileOptions): Promise<Bundle> {
  assertPinnedDeno();
  const destination = resolve(output);
  await Deno.mkdir(dirname(destination), { recursive: true });
  // Beside the destination, so that one rename puts the executable in its place.
  const folder = await Deno.makeTempDir({ dir: dirname(destination), prefix: ".build-" });
  try {
    const stage = join(folder, "stage");
    const bundled = await bundle(resolve(entry), stage, signal);
    console.error(`bundled "${relative(PROJECT, entry)}": ${kilobytes(bundled.size)}`);

    // The name becomes part of the program's own paths, so it is the final one from the start.
    const executable = join(folder, basename(destination));
    const main = basename(entry).replace(/\.ts$/, ".js");
    const stub = await compileWithSomeStub({ stage, main, executable, target, signal });
    console.error(`compiled with the runtime stub of Deno ${Deno.version.deno} for ${target}, from ${stub}`);

    checkExecutable(await Deno.readFile(executable), bundled.size, target);
    await accept?.(executable);
    signal?.throwIfAborted();
    await Deno.rename(executable, destination);
    return bundled;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interface Job {
  stage: string;
  main: string;
  executable: string;
  target: Target;
  signal: AbortSignal | undefined;
}

/** Compiles with the first stub that can be had, and returns where that came from. */
async function compileWithSomeStub(job: Job): Promise<string> {
  const atHand = await stubAtHand(job.target);
  if (atHand) {
    await compileWithStub(job, atHand);
    return `"${atHand}"`;
  }
  try {
    await compileWithStub(job);
    return "Deno's own download";
  } catch (ownFailure) {
    job.signal?.throwIfAborted();
    let fromNpm: string;
    try {
      fromNpm = await stubFromNpm(job.target, job.signal);
    } catch (npmFailure) {
      job.signal?.throwIfAborted();
      throw new Error(noStub(job.target, ownFailure, npmFailure));
    }
    await compileWithStub(job, fromNpm);
    return `npm package "${stubPackage(job.target)}"`;
  }
}

/** Without a path `deno compile` downloads the stub itself. What came out is trusted only with the pinned stub in it. */
async function compileWithStub({ stage, main, executable, target, signal }: Job, stub?: string) {
  // The bundle is all there is: no configuration, lock file or package of a folder above may get in. The code
  // cache would be a file with a predictable name in /tmp, written as root; threads and setns do not go together.
  // All permissions, since the runtime lets nobody with fewer read /proc and /sys, and one denied is one fewer.
  const args = ["compile", "--quiet", "--no-config", "--no-lock", "--no-npm", "--no-remote", "--no-check"];
  args.push("--no-code-cache", "--v8-flags=--single-threaded", "--allow-all");
  args.push("--target", `${target}-unknown-linux-gnu`, "--output", executable, main);
  const limits = [...(signal ? [signal] : []), ...(stub ? [] : [AbortSignal.timeout(DOWNLOAD_LIMIT_MS)])];
  const env = { ...denoEnv(), ...(stub ? { DENORT_BIN: stub } : {}) };
  await runChild(Deno.execPath(), args, { cwd: stage, env, signal: AbortSignal.any(limits) });
  assertPinnedStub(await Deno.readFile(executable), target);
}

function checkExecutable(bytes: Uint8Array, bundleSize: number, target: Target): void {
  const machine = new DataView(bytes.buffer).getUint16(18, true);
  if (machine !== ELF_MACHINE[target]) {
    throw new Error(
      `Cannot use the executable: its ELF machine is ${machine}, wanted ${ELF_MACHINE[target]} (${target})`,
    );
  }
  const appended = appendedSize(bytes);
  if (appended > bundleSize + OVERHEAD_LIMIT) {
    throw new Error(
      `Cannot accept the executable: ${appended} bytes are embedded, wanted at most the bundle's ${bundleSize} ` +
        `and ${OVERHEAD_LIMIT}: something beside the bundle got in`,
    );
  }
  console.error(`checked: ${kilobytes(bytes.length)}, of which ${kilobytes(appended)} are the program`);
}

function noStub(target: Target, ownFailure: unknown, npmFailure: unknown): string {
  const told = (failure: unknown) => (failure instanceof Error ? failure.message : String(failure));
  const ways = [
    `DENORT_BIN: not set`,
    `the copy kept by an earlier build, "${stubPath(target)}": not there, or its hash is not the pinned one`,
    `Deno's own download: ${told(ownFailure)}`,
    `npm package "${stubPackage(target)}": ${told(npmFailure)}`,
  ].map((way) => `- ${way.replaceAll("\n", "\n    ")}\n`);
  return `Cannot compile, no way leads to the runtime stub (denort ${Deno.version.deno} for ${target}):\n` +
    `${ways.join("")}Repair one of these ways, or set DENORT_BIN to the path of such a stub`;
}

function kilobytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024)} KB`;
}
