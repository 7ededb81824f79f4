import { Buffer } from "node:buffer";
import { directoryOf, ifPresent, syncDirectory } from "../../sys/files.ts";
import { CommandError } from "../errors.ts";

/** A file that is to be somewhere. */
export interface Copy {
  /** The path of a file, or what is to be in it. */
  readonly source: string | Uint8Array<ArrayBuffer>;
  readonly target: string;
  /** Its permissions. */
  readonly mode: number;
  /** When it was changed, if that matters. */
  readonly mtime?: Date;
}

const CHUNK = 1024 * 1024;

/**
 * Puts a copy in its place by a rename, so that at any instant the old file or the new one is there, whole, also after
 * a crash. What was there, a symbolic link too, is replaced; links are not followed.
 *
 * @param accept a last look at the finished copy under its temporary name; when it throws all stays as it was
 * @throws {Error} as Deno does when it cannot be written; then all is as it was
 */
export function place(copy: Copy, accept?: (path: string) => void): void {
  putInPlace(copy.target, (temporary) => {
    write(temporary, copy);
    const difference = findDifference({ ...copy, target: temporary });
    if (difference) throw new Error(`its copy ${difference.text}`);
    accept?.(temporary);
  });
}

/** Puts a symbolic link in its place in the same way. */
export function placeLink(path: string, target: string): void {
  putInPlace(path, (temporary) => Deno.symlinkSync(target, temporary));
}

function putInPlace(target: string, make: (temporary: string) => void): void {
  const directory = directoryOf(target);
  const temporary = `${directory}/.${target.slice(directory.length + 1)}.${crypto.randomUUID()}.tmp`;
  try {
    make(temporary);
    Deno.renameSync(temporary, target);
  } catch (error) {
    ifPresent(() => Deno.removeSync(temporary));
    throw error;
  }
  syncDirectory(directory);
}

/**
 * Removes what crashes left of copies into a directory.
 *
 * @param isOurs which names the copies were to have
 */
export function removeLeftovers(directory: string, isOurs: (name: string) => boolean): void {
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    const [, of] = /^\.(.*)\.[0-9a-f-]{36}\.tmp$/.exec(name) ?? [];
    if (!isDirectory && of !== undefined && isOurs(of)) Deno.removeSync(`${directory}/${name}`);
  }
}

/** Takes the file, closing it: a program that is open for writing cannot be run. */
function write(path: string, { source, mode, mtime }: Copy): void {
  using output = Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
  if (typeof source === "string") copyInto(output, source);
  else writeAll(output, source);
  Deno.chmodSync(path, mode);
  if (mtime) Deno.utimeSync(path, mtime, mtime);
  output.syncSync();
}

function copyInto(output: Deno.FsFile, path: string): void {
  using input = Deno.openSync(path);
  const buffer = new Uint8Array(CHUNK);
  for (let read = input.readSync(buffer); read !== null; read = input.readSync(buffer)) {
    writeAll(output, buffer.subarray(0, read));
  }
}

function writeAll(output: Deno.FsFile, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += output.writeSync(bytes.subarray(written));
}

/** What of a file is not as it should be. */
export interface Difference {
  readonly isAbsent: boolean;
  /** A clause about the file: "is not there". */
  readonly text: string;
}

const COMPARED_BYTES = 1024 * 1024;

export function absent(): Difference {
  return { isAbsent: true, text: "is not there" };
}

export function different(text: string): Difference {
  return { isAbsent: false, text };
}

/**
 * How a copy differs from its source; undefined when it is one, root's, with the right permissions and time.
 *
 * @throws {Error} as Deno does when one of the two cannot be read
 */
export function findDifference({ source, target, mode, mtime }: Copy): Difference | undefined {
  const found = ifPresent(() => Deno.lstatSync(target));
  if (!found) return absent();
  if (found.isSymlink) return different("is a symbolic link");
  if (!found.isFile) return different("is no regular file");
  if (found.uid !== 0) return different(`belongs to user ${found.uid}, want root`);
  const permissions = (found.mode ?? 0) & 0o7777;
  if (permissions !== mode) return different(`has mode ${permissions.toString(8)}, want ${mode.toString(8)}`);
  const isSame = typeof source === "string" ? isSameFile(source, target) : holds(target, source);
  if (!isSame) return different("has another content");
  if (mtime && found.mtime?.getTime() !== mtime.getTime()) {
    return different(`was changed at ${found.mtime?.toISOString()}, want ${mtime.toISOString()}`);
  }
  return undefined;
}

function holds(path: string, bytes: Uint8Array): boolean {
  return Deno.statSync(path).size === bytes.length && Buffer.compare(Deno.readFileSync(path), bytes) === 0;
}

/** Reads piece by piece, since the executable is larger than the memory that a container may have. */
function isSameFile(one: string, other: string): boolean {
  if (Deno.statSync(one).size !== Deno.statSync(other).size) return false;
  using first = Deno.openSync(one);
  using second = Deno.openSync(other);
  const [a, b] = [new Uint8Array(COMPARED_BYTES), new Uint8Array(COMPARED_BYTES)];
  for (;;) {
    const length = fill(first, a);
    if (fill(second, b) !== length || Buffer.compare(a.subarray(0, length), b.subarray(0, length)) !== 0) {
      return false;
    }
    if (length < COMPARED_BYTES) return true;
  }
}

/** Reads until the buffer is full or the file ends, and returns how much that was. */
function fill(file: Deno.FsFile, buffer: Uint8Array): number {
  let length = 0;
  while (length < buffer.length) {
    const read = file.readSync(buffer.subarray(length));
    if (read === null) break;
    length += read;
  }
  return length;
}

/** What to do about an errno, by the name that Deno's errors carry. */
const ADVICE: Readonly<Record<string, string>> = {
  EACCES: "This needs root.",
  EPERM: "This needs root, and files that are not immutable (lsattr).",
  ENOSPC: "Free some space there: a copy of the plugin takes 100 MB. What was installed before is as it was.",
  EDQUOT: "Free some space there: a copy of the plugin takes 100 MB. What was installed before is as it was.",
  EROFS: "The directory is mounted read-only: mount it writable, or give another with --cni-bin-dir.",
};

/** Tells what could not be done with a file, and what to do about it. Errors that tell so already stay as they are. */
export function toInstallError(task: string, path: string, error: unknown): unknown {
  if (error instanceof CommandError || !(error instanceof Error)) return error;
  const advice = ADVICE[(error as { code?: string }).code ?? ""];
  return new CommandError(`Cannot ${task} ${JSON.stringify(path)}: ${error.message}`, advice, undefined, {
    cause: error,
  });
}
