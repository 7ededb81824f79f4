import { ENOENT, SyscallError } from "./errno.ts";
import { type Fd, openDirectory as openFd, openForReading } from "./fd.ts";
import { check, cString } from "./libc.ts";

/** Instead of a directory: a relative path begins where the process is (uapi linux/fcntl.h). */
const AT_FDCWD = -100;
/** unistd.h. */
const W_OK = 2;

/** @throws {SyscallError} when this process may not write to what is at a path: EROFS, EACCES */
export function assertWritable(path: string): void {
  check(`write to ${JSON.stringify(path)}`, (c) => c.faccessat(AT_FDCWD, cString(path), W_OK, 0));
}

/**
 * Runs work whose new files and directories get exactly the modes that it names, whatever umask the runtime has set. A
 * chmod after the creation would do the same, but to whatever has the name by then.
 */
function withoutUmask<T>(work: () => T): T {
  const before = Deno.umask(0);
  try {
    return work();
  } finally {
    Deno.umask(before);
  }
}

/**
 * Puts a file in its place by a rename, so that at any instant the old file or the new one is there, whole. A killed
 * process may leave the temporary file, whose name is the file's with a dot before and `.tmp` behind; an error does not.
 *
 * @param mode its permissions, which no umask reduces
 * @param options durable: the file survives a power loss too. Without it a power loss may leave the old file, the new
 *   one or an empty one, which is enough for what means nothing after a reboot, and saves two commits of the file
 *   system's journal
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

/** Where {@linkcode replaceFile} writes before it renames. */
export function temporaryPath(path: string): string {
  const directory = directoryOf(path);
  return `${directory}/.${path.slice(directory.length + 1)}.tmp`;
}

const ABSENT = ["ENOENT", "ENOTDIR", "ENAMETOOLONG"];

/**
 * What the work gives, or undefined when the file it is about is not there. What has too long a name, or would stand
 * below a file, cannot be there either.
 */
export function ifPresent<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (ABSENT.includes((error as { code?: string }).code ?? "")) return undefined;
    throw error;
  }
}

/** The directory that a file is in. */
export function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function writeNew(path: string, text: string, mode: number, durable: boolean): void {
  using file = createFile(path, mode);
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
  if (durable) file.syncSync();
}

/** What a crash left in the file's place, or a link planted there, is removed and never written to (O_EXCL). */
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

/** Makes sure that what was made, renamed or removed in a directory stays so, also after a power loss. */
export function syncDirectory(path: string): void {
  using directory = Deno.openSync(path);
  directory.syncSync();
}

/** A directory held open, so that what its path leads to cannot change. */
export interface OpenDirectory extends Disposable {
  /** Leads to it as long as it is open. */
  readonly path: string;
}

/**
 * Opens a directory below another, which is the system's own and may be a symbolic link; below it none is followed. Each
 * directory is looked up in the one that is open, so that nobody can exchange the path meanwhile.
 *
 * @param make whether directories that are missing are made
 * @throws {SyscallError} ENOTDIR for a symbolic link
 */
export function openDirectory(base: string, names: readonly string[], make: boolean): OpenDirectory {
  let directory = openForReading(base);
  let path = base;
  for (const name of names) {
    using parent = directory;
    path += `/${name}`;
    directory = open(`${pathOf(parent)}/${name}`, path, make);
  }
  return { path: pathOf(directory), [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

/** @param name the path in a message */
function open(path: string, name: string, make: boolean): Fd {
  try {
    return openFd(path);
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
