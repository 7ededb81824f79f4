/** Files and directories: written whole, opened without following links, with the modes that callers name. */
import { codeOf, ENOENT, SyscallError } from "./errno.ts";
import { type Fd, openDirectory, openForReading } from "./fd.ts";
import { check, cString, libc } from "./libc.ts";

/** Instead of a directory: relative paths start at the working directory (uapi linux/fcntl.h). */
const AT_FDCWD = -100;
/** unistd.h. */
const W_OK = 2;
/** Nothing can be at a path: a name is too long, or a file stands where a directory should be. */
const ABSENT = ["ENOENT", "ENOTDIR", "ENAMETOOLONG"];

/** @throws {SyscallError} when this process cannot write to the file or directory: EROFS, EACCES */
export function assertWritable(path: string): void {
  check(`write to ${JSON.stringify(path)}`, (c) => c.faccessat(AT_FDCWD, cString(path), W_OK, 0));
}

/**
 * Replaces or creates a file by a rename, so that at any instant the whole old file or the whole new one is
 * there. A process that is killed may leave the temporary file behind; an error does not.
 *
 * @param mode its permissions, whatever the umask
 * @param options durable: the file survives a power loss too. Without it that may leave the old file, the new one or an
 *   empty one: enough for a file that means nothing after a reboot, and two commits of the journal fewer
 * @throws {Error} as Deno does when the directory is missing, full or not writable
 */
export function replaceFile(path: string, text: string, mode: number, { durable = false } = {}): void {
  const temporary = temporaryPath(path);
  try {
    writeNew(temporary, text, mode, durable);
    Deno.renameSync(temporary, path);
  } catch (error) {
    ifPresent(() => Deno.removeSync(temporary));
    throw error;
  }
  if (durable) syncDirectory(directoryOf(path));
}

/** Returns the path that {@linkcode replaceFile} writes to before it renames: `.NAME.tmp` beside the file. */
export function temporaryPath(path: string): string {
  const directory = directoryOf(path);
  return `${directory}/.${path.slice(directory.length + 1)}.tmp`;
}

/**
 * Returns what the work returns, or undefined when its file is absent. A file whose name is too long, or which would
 * be below a file, is absent too.
 *
 * @param absent names of the errors that mean this
 */
export function ifPresent<T>(work: () => T, absent: readonly string[] = ABSENT): T | undefined {
  try {
    return work();
  } catch (error) {
    if (absent.includes(codeOf(error) ?? "")) return undefined;
    throw error;
  }
}

/** Writes all bytes to a file or a stream. @throws {Error} as Deno does */
export function writeAll(file: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
}

/** The directory that a file is in. */
export function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** Returns why others than root could put files into a directory, by what lstat() found; undefined if they cannot. */
export function explainUnsafeDirectory(found: Deno.FileInfo): string | undefined {
  if (found.isSymlink) return "it is a symbolic link";
  if (!found.isDirectory) return "it is not a directory";
  if (found.uid !== 0) return `it belongs to user ${found.uid}`;
  return (found.mode ?? 0) & 0o022 ? "others may write to it" : undefined;
}

/** Makes creations, renames and removals in a directory survive a power loss. */
export function syncDirectory(path: string): void {
  using directory = Deno.openSync(path);
  directory.syncSync();
}

/** uapi linux/fadvise.h. */
const POSIX_FADV_DONTNEED = 4;

/**
 * Drops a file from the page cache, where its pages count against the memory limit of the container that read or
 * wrote them first. Pages that some process has mapped stay, and those that are not on the disk yet.
 *
 * @throws {SyscallError} when the file cannot be opened
 */
export function dropFromCache(path: string): void {
  using file = openForReading(path);
  libc().posix_fadvise(file.number, 0n, 0n, POSIX_FADV_DONTNEED); // advice, which cannot fail on a file
}

/** An open directory, whose path always leads to this directory. */
export interface OpenDirectory extends Disposable {
  /** Valid while it is open. */
  readonly path: string;
}

/**
 * Opens a directory below a base. The base may be a symbolic link; below it none is followed. Each directory
 * is looked up in the open one above it, so that nobody can exchange a part of the path meanwhile.
 *
 * @param make create missing directories, mode 0755
 * @throws {SyscallError} ENOTDIR for a symbolic link
 */
export function openDirectoryBelow(base: string, names: readonly string[], make: boolean): OpenDirectory {
  let directory = openForReading(base);
  let path = base;
  for (const name of names) {
    using parent = directory;
    path += `/${name}`;
    directory = open(`${pathOf(parent)}/${name}`, path, make);
  }
  return { path: pathOf(directory), [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

/** Runs work with umask 0, so that the modes that it names hold: a chmod afterwards could hit another file. */
function withoutUmask<T>(work: () => T): T {
  const before = Deno.umask(0);
  try {
    return work();
  } finally {
    Deno.umask(before);
  }
}

function writeNew(path: string, text: string, mode: number, durable: boolean): void {
  using file = createFile(path, mode);
  writeAll(file, new TextEncoder().encode(text));
  if (durable) file.syncSync();
}

/** Removes what a crash left in the file's place, or a link that was planted there; never writes to it. */
function createFile(path: string, mode: number): Deno.FsFile {
  const create = () => withoutUmask(() => Deno.openSync(path, { write: true, createNew: true, mode }));
  try {
    return create();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    Deno.removeSync(path);
    return create();
  }
}

/** @param name the path for messages */
function open(path: string, name: string, make: boolean): Fd {
  try {
    return openDirectory(path);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (!make || error.errno !== ENOENT) {
      throw new SyscallError(`open directory ${JSON.stringify(name)}`, error.errno);
    }
  }
  makeDirectory(path);
  return open(path, name, false);
}

function makeDirectory(path: string): void {
  try {
    withoutUmask(() => Deno.mkdirSync(path, { mode: 0o755 }));
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

function pathOf({ number }: Fd): string {
  return `/proc/self/fd/${number}`;
}
