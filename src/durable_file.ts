import { isAbsent } from "./ffi/access.ts";
import { withoutUmask } from "./ffi/umask.ts";

/**
 * Puts a file in its place so that at any instant it is the old one or the new one, whole, also after a crash. A crash
 * may leave the temporary file, whose name is the file's with a dot before and `.tmp` behind; an error does not.
 *
 * @param mode its permissions, which no umask reduces
 * @throws {Error} as Deno does when the folder is missing, full or not writable
 */
export function writeDurably(path: string, text: string, mode: number): void {
  const temporary = temporaryPath(path);
  try {
    writeNew(temporary, text, mode);
    Deno.renameSync(temporary, path);
  } catch (error) {
    ifPresent(() => Deno.removeSync(temporary));
    throw error;
  }
  syncFolder(folderOf(path));
}

/** Where {@linkcode writeDurably} writes before it renames. */
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

function writeNew(path: string, text: string, mode: number): void {
  using file = createFile(path, mode);
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
  file.syncSync();
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

/** Makes sure that what was made, renamed or removed in a folder stays so, also after a crash. */
export function syncFolder(path: string): void {
  using folder = Deno.openSync(path);
  folder.syncSync();
}
