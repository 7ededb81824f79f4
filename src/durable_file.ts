import { isAbsent } from "./ffi/access.ts";
import { withoutUmask } from "./ffi/umask.ts";

/**
 * Puts a file in its place by a rename, so that at any instant the old file or the new one is there, whole. A killed
 * process may leave the temporary file, whose name is the file's with a dot before and `.tmp` behind; an error does not.
 *
 * @param mode its permissions, which no umask reduces
 * @param options durable: the file survives a power loss too. Without it a power loss may leave the old file, the new
 *   one or an empty one, which is enough for what means nothing after a reboot, and saves two commits of the file
 *   system's journal
 * @throws {Error} as Deno does when the folder is missing, full or not writable
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
  if (durable) syncFolder(folderOf(path));
}

/** Where {@linkcode replaceFile} writes before it renames. */
export function temporaryPath(path: string): string {
  const folder = folderOf(path);
  return `${folder}/.${path.slice(folder.length + 1)}.tmp`;
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

/** As {@linkcode ifPresent}, for a file that mostly is not there: then no error is made, which takes time. */
export function ifRarelyPresent<T>(path: string, work: () => T): T | undefined {
  return isAbsent(path) ? undefined : ifPresent(work);
}

/** The folder that a file is in. */
export function folderOf(path: string): string {
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

/** Makes sure that what was made, renamed or removed in a folder stays so, also after a power loss. */
export function syncFolder(path: string): void {
  using folder = Deno.openSync(path);
  folder.syncSync();
}
