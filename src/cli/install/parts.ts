/** The files and links of an installation, in the order in which they are installed. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { EACCES, ENOENT, errnoOf, messageOf } from "../../sys/errno.ts";
import { ifPresent } from "../../sys/files.ts";
import { VERSION } from "../../version.ts";
import { CommandError } from "../errors.ts";
import {
  absent,
  type Copy,
  type Difference,
  different,
  findDifference,
  place,
  placeLink,
  readPieces,
  readTail,
} from "./files.ts";
import { currentIn, isProgramName, ownDirectoryIn, pluginIn, programName, type Sources } from "./layout.ts";

/** A file or link of an installation. */
export interface Part {
  readonly path: string;
  /** Undefined when it is right. */
  readonly difference: Difference | undefined;
  /** Installs it, atomically. */
  place(): void;
}

/**
 * The parts, in an order in which a working plugin is there at any instant. Each is examined when the caller
 * has installed those before it.
 *
 * @param options isQuick: a program that looks as it was installed is not read as a whole
 * @throws {Error} as Deno does when a file cannot be read
 */
export function* partsIn(
  directory: string,
  { executable, libmnl, launcher: launcherBytes }: Sources,
  { isQuick = false } = {},
): Generator<Part> {
  const own = ownDirectoryIn(directory);
  yield copyPart({ source: libmnl, target: `${own}/libmnl.so.0`, mode: 0o644 });

  const installed = installedProgram(directory);
  // Without the bits that let others write, or run it as another user.
  const mode = (Deno.statSync(executable).mode ?? 0) & 0o755;
  const found = installed && { source: executable, target: `${own}/${installed}`, mode };
  const isCurrent = found &&
    (isQuick && looksInstalled(found, pluginIn(directory)) || !findDifference(found));
  const name = isCurrent ? installed! : programName(VERSION, hashFile(executable));
  const program = { source: executable, target: `${own}/${name}`, mode };
  yield {
    path: program.target,
    difference: isCurrent ? undefined : findDifference(program),
    place: () => place({ ...program, mtime: wholeSecond() }, assertRunnable),
  };

  yield linkPart(currentIn(directory), name);

  // The launcher has the program's time, so that a quick check sees whether either has been written to since.
  // In a dry run the program may be missing; then no launcher has the right time.
  const mtime = ifPresent(() => Deno.statSync(program.target).mtime) ?? new Date(0);
  const launcher = { source: launcherBytes, target: pluginIn(directory), mode: 0o755, mtime };
  yield copyPart(launcher, assertRunnable);
}

/**
 * Tells whether a program is this one as it was installed, to all appearances: by type, owner, permissions, size, the time
 * that the launcher has too, and what builds differ in.
 */
function looksInstalled(
  { source, target, mode }: Copy & { readonly source: string },
  plugin: string,
): boolean {
  const [found, launcher] = [target, plugin].map((path) => ifPresent(() => Deno.lstatSync(path)));
  return found?.isFile === true && found.uid === 0 && ((found.mode ?? 0) & 0o7777) === mode &&
    found.size === Deno.statSync(source).size && found.mtime?.getTime() === launcher?.mtime?.getTime() &&
    Buffer.compare(readTail(source), readTail(target)) === 0;
}

/** The name of the program that the link leads to; undefined when it leads nowhere or elsewhere. */
function installedProgram(directory: string): string | undefined {
  const path = currentIn(directory);
  const name = ifPresent(() => Deno.lstatSync(path).isSymlink ? Deno.readLinkSync(path) : undefined);
  return name !== undefined && isProgramName(name) ? name : undefined;
}

function copyPart(copy: Copy, accept?: (path: string) => void): Part {
  return { path: copy.target, difference: findDifference(copy), place: () => place(copy, accept) };
}

function linkPart(path: string, wanted: string): Part {
  return { path, difference: findLinkDifference(path, wanted), place: () => placeLink(path, wanted) };
}

function findLinkDifference(path: string, wanted: string): Difference | undefined {
  const found = ifPresent(() => Deno.lstatSync(path));
  if (!found) return absent();
  if (!found.isSymlink) return different("is not a symbolic link");
  const name = Deno.readLinkSync(path);
  return name === wanted ? undefined : different(`leads to ${JSON.stringify(name)}, want "${wanted}"`);
}

/** Now, in the resolution of all file systems. */
function wholeSecond(): Date {
  return new Date(Math.trunc(Date.now() / 1000) * 1000);
}

/** The SHA-256 of a file in hexadecimal digits. */
function hashFile(path: string): string {
  const hash = createHash("sha256");
  for (const piece of readPieces(path)) hash.update(piece);
  return hash.digest("hex");
}

/**
 * Makes sure that a copy of this program can be run where it is. As it is the same, byte for byte, the loader is only
 * asked for its libraries (ld.so(8)): running it would take the memory of this process a second time.
 *
 * @throws {CommandError}
 */
function assertRunnable(path: string): void {
  const machine = machineOf(path);
  if (machine !== undefined && machine !== ELF_MACHINE[Deno.build.arch]) {
    throw cannotRun("it is built for another architecture", "Use the executable for this machine's.");
  }
  const { success, signal, stdout, stderr } = listLibraries(path);
  if (signal) throw cannotRun(`it was ended by ${signal}`, "The container may have too little memory.");
  const [missing] = /\S+ => not found/.exec(stdout) ?? [];
  if (success && missing === undefined) return;
  throw cannotRun(
    missing ?? (stderr.trim() || stdout.trim() || "it prints nothing"),
    "It needs the libraries of glibc and libgcc_s.",
  );
}

/** The number by which an ELF header names the architecture (e_machine in elf.h). */
const ELF_MACHINE = { x86_64: 62, aarch64: 183 };

/** The architecture that a program is for; undefined if that is no ELF file. */
function machineOf(path: string): number | undefined {
  using file = Deno.openSync(path);
  const header = Buffer.alloc(20);
  file.readSync(header);
  return header.toString("latin1", 0, 4) === "\x7fELF" ? header.readUInt16LE(18) : undefined;
}

function listLibraries(path: string) {
  try {
    const env = { LD_TRACE_LOADED_OBJECTS: "1" };
    const command = new Deno.Command(path, { env, clearEnv: true, cwd: "/", stdin: "null" });
    const { success, signal, ...output } = command.outputSync();
    const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { success, signal, stdout: stdout!, stderr: stderr! };
  } catch (error) {
    throw explain(error as Error);
  }
}

function explain(error: Error): CommandError {
  switch (errnoOf(error)) {
    case ENOENT:
      return cannotRun(
        "its loader is missing",
        "It needs glibc, which systems with musl (Alpine, Talos) do not have.",
      );
    case EACCES:
      return cannotRun(
        "permission denied",
        "The file system is mounted noexec, or a security module forbids it: runtimes could not run it either.",
      );
    default:
      return cannotRun(messageOf(error), "Runtimes could not run it either.");
  }
}

function cannotRun(found: string, advice: string): CommandError {
  return new CommandError(
    `Cannot run the copy of this program: ${found}`,
    `${advice} What was installed before is unchanged.`,
  );
}
