/** `deno compile` with a pinned runtime stub, and checks of what comes out. */
import { basename, dirname, join, resolve } from "node:path";
import { messageOf } from "../../src/sys/errno.ts";
import { denoEnv, runChild } from "./child.ts";
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

interface CompileOptions {
  /** Holds all that goes in; the first module is `main.js`. */
  directory: string;
  /** The executable, replaced at once when everything has gone well. */
  output: string;
  target: Target;
  /** Flags for V8; by default those of the plugin. */
  v8Flags?: readonly string[];
  /** Checks the finished executable before it takes its place; when this throws, the old one stays. */
  accept?: (executable: string) => Promise<void>;
  /** Stops the build; nothing is left behind. */
  signal?: AbortSignal | undefined;
}

/** Deno's own download of the stub has no time limit, and where packets are dropped it hangs. */
const DOWNLOAD_LIMIT_MS = 60_000;

/** The bytes that `deno compile` may append beyond the directory's files: trailer and metadata, but no forgotten package. */
const OVERHEAD_LIMIT = 64 * 1024;

/** The first module of what is compiled. */
const MAIN = "main.js";

/** A compiled form is only good with the flags that it was made with. */
const V8_FLAGS = [
  "--no-lazy", // the build has V8 compile all functions, not only those that run when the program is loaded
  "--single-threaded", // threads and setns do not go together
  "--no-enable-lazy-source-positions", // else the first throw compiles again the functions it passes
  "--no-icu-timezone-data", // nothing here asks for a time zone, and finding the machine's takes 0.6 MB at each start
  "--no-sparkplug", // no call runs long enough to be worth machine code
  "--no-incremental-marking", // what the agent's calls leave while it is marked outlives that: 50 MB
  "--expose-gc", // for the agent, which returns memory when it is idle
  "--max-semi-space-size=2", // in MB, else the agent's heap grows by 24 for what its calls leave
];

/** The number by which an ELF header names the architecture (e_machine in elf.h). */
const ELF_MACHINE: Record<Target, number> = { x86_64: 62, aarch64: 183 };

/** Makes an executable of a directory's files. Its progress goes to stderr. */
export async function compile(options: CompileOptions): Promise<void> {
  const { directory, output, target, v8Flags = V8_FLAGS, accept, signal } = options;
  assertPinnedDeno();
  const destination = resolve(output);
  await Deno.mkdir(dirname(destination), { recursive: true });
  // Beside the destination, so that one rename puts the executable in its place.
  const temporary = await Deno.makeTempDir({ dir: dirname(destination), prefix: ".build-" });
  try {
    // The name becomes part of the program's own paths, so it is the final one from the start.
    const name = basename(destination);
    const executable = join(temporary, name);
    const stage = join(temporary, "stage");
    const size = copyFiles(directory, stage);
    const stub = await compileWithSomeStub({ directory: stage, executable, target, v8Flags, signal });
    console.error(
      `compiled "${name}" with the runtime stub of Deno ${Deno.version.deno} for ${target}, from ${stub}`,
    );
    checkExecutable(name, await Deno.readFile(executable), size, target);
    await Deno.chmod(executable, 0o755); // whatever the umask
    await accept?.(executable);
    signal?.throwIfAborted();
    await Deno.rename(executable, destination);
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
}

/** Copies a directory's files into a new one and returns their bytes. Times get embedded too, so all are the same. */
function copyFiles(from: string, to: string): number {
  Deno.mkdirSync(to);
  let size = 0;
  for (const name of namesIn(from)) {
    const copy = join(to, name);
    Deno.copyFileSync(join(from, name), copy);
    Deno.utimeSync(copy, 0, 0);
    size += Deno.statSync(copy).size;
  }
  return size;
}

function namesIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

interface Job {
  directory: string;
  executable: string;
  target: Target;
  v8Flags: readonly string[];
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

/** Without a path `deno compile` downloads the stub itself. The result is trusted only with the pinned stub in it. */
async function compileWithStub({ directory, executable, target, v8Flags, signal }: Job, stub?: string) {
  // The directory is all there is: no configuration, lock file or package of a directory above may get in. The code
  // cache would be a file with a predictable name in /tmp, written as root.
  // All permissions, since the runtime lets nobody with fewer read /proc and /sys, and one denied is one fewer.
  const args = ["compile", "--quiet", "--no-config", "--no-lock", "--no-npm", "--no-remote", "--no-check"];
  args.push("--no-code-cache", "--allow-all");
  if (v8Flags.length > 0) args.push(`--v8-flags=${v8Flags.join(",")}`);
  args.push("--target", `${target}-unknown-linux-gnu`, "--output", executable);
  args.push(...namesIn(directory).flatMap((name) => name === MAIN ? [] : ["--include", name]), MAIN);
  const limits = [...(signal ? [signal] : []), ...(stub ? [] : [AbortSignal.timeout(DOWNLOAD_LIMIT_MS)])];
  const env = { ...denoEnv(), ...(stub ? { DENORT_BIN: stub } : {}) };
  await runChild(Deno.execPath(), args, { cwd: directory, env, signal: AbortSignal.any(limits) });
  assertPinnedStub(await Deno.readFile(executable), target);
}

function checkExecutable(name: string, bytes: Uint8Array, size: number, target: Target): void {
  const machine = new DataView(bytes.buffer).getUint16(18, true);
  if (machine !== ELF_MACHINE[target]) {
    throw new Error(
      `Cannot use the executable: its ELF machine is ${machine}, wanted ${ELF_MACHINE[target]} (${target})`,
    );
  }
  const appended = appendedSize(bytes);
  if (appended > size + OVERHEAD_LIMIT) {
    throw new Error(
      `Cannot accept the executable: ${appended} bytes are embedded, wanted at most the files' ${size} ` +
        `and ${OVERHEAD_LIMIT}: something beside them got in`,
    );
  }
  console.error(
    `checked "${name}": ${kilobytes(bytes.length)}, of which ${kilobytes(appended)} are the program`,
  );
}

function noStub(target: Target, ownFailure: unknown, npmFailure: unknown): string {
  const ways = [
    `DENORT_BIN: not set`,
    `the copy kept by an earlier build, "${stubPath(target)}": not there, or its hash is not the pinned one`,
    `Deno's own download: ${messageOf(ownFailure)}`,
    `npm package "${stubPackage(target)}": ${messageOf(npmFailure)}`,
  ].map((way) => `- ${way.replaceAll("\n", "\n    ")}\n`);
  return `Cannot compile, no way leads to the runtime stub (denort ${Deno.version.deno} for ${target}):\n` +
    `${ways.join("")}Repair one of these ways, or set DENORT_BIN to the path of such a stub`;
}

function kilobytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024)} KB`;
}
