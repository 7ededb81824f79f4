/** Files of an installation: comparing, copying and replacing them. */
import { Buffer } from "node:buffer";
import { messageOf } from "../../sys/errno.ts";
import { directoryOf, dropFromCache, ifPresent, syncDirectory, writeAll } from "../../sys/files.ts";
import { CommandError } from "../errors.ts";

/** A file to install. */
export interface Copy {
  /** The path of a file, or the content. */
  readonly source: string | Uint8Array<ArrayBuffer>;
  readonly target: string;
  /** Its permissions. */
  readonly mode: number;
  /** Its time of modification, if that matters. */
  readonly mtime?: Date;
}

/** Advice on an errno, by the name in Deno's errors. */
const ADVICE: Readonly<Record<string, string>> = {
  EACCES: "This needs root.",
  EPERM: "This needs root, and files that are not immutable (lsattr).",
  ENOSPC: "Free some space there: a copy of the plugin takes 100 MB. What was installed before is unchanged.",
  EDQUOT: "Free some space there: a copy of the plugin takes 100 MB. What was installed before is unchanged.",
  EROFS: "The directory is mounted read-only: mount it writable, or choose another with --cni-bin-dir.",
};

/** The difference of an installed file from what it should be. */
export interface Difference {
  readonly isAbsent: boolean;
  /** A clause: "is not there". */
  readonly text: string;
}

const PIECE = 1024 * 1024;

/**
 * Replaces or creates a file by a rename, so that at any instant the whole old file or the whole new one is
 * there, even after a crash. A symbolic link is replaced, not followed. An error changes nothing.
 *
 * @param accept gets the path of the finished copy under its temporary name, and throws if it must not be
 *   installed
 * @throws {Error} as Deno does when it cannot be written
 */
export function place(copy: Copy, accept?: (path: string) => void): void {
  putInPlace(copy.target, (temporary) => {
    write(temporary, copy);
    const difference = findDifference({ ...copy, target: temporary });
    if (difference) throw new Error(`its copy ${difference.text}`);
    accept?.(temporary);
  });
}

/** Replaces or creates a symbolic link in the same way. */
export function placeLink(path: string, target: string): void {
  putInPlace(path, (temporary) => Deno.symlinkSync(target, temporary));
}

/**
 * Removes temporary files that crashes left in a directory.
 *
 * @param isOurs whether a file of this name is part of an installation
 */
export function removeLeftovers(directory: string, isOurs: (name: string) => boolean): void {
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    const [, of] = /^\.(.*)\.[0-9a-f-]{36}\.tmp$/.exec(name) ?? [];
    if (!isDirectory && of !== undefined && isOurs(of)) Deno.removeSync(`${directory}/${name}`);
  }
}

export function absent(): Difference {
  return { isAbsent: true, text: "is not there" };
}

export function different(text: string): Difference {
  return { isAbsent: false, text };
}

/**
 * Finds how a file differs from the copy that should be there: in type, owner, permissions, content or time.
 *
 * @throws {Error} as Deno does when one of the two cannot be read
 */
export function findDifference({ source, target, mode, mtime }: Copy): Difference | undefined {
  const found = ifPresent(() => Deno.lstatSync(target));
  if (!found) return absent();
  if (found.isSymlink) return different("is a symbolic link");
  if (!found.isFile) return different("is not a regular file");
  if (found.uid !== 0) return different(`belongs to user ${found.uid}, want root`);
  const permissions = (found.mode ?? 0) & 0o7777;
  if (permissions !== mode) return different(`has mode ${permissions.toString(8)}, want ${mode.toString(8)}`);
  const isSame = typeof source === "string" ? isSameFile(source, target) : holds(target, source);
  if (!isSame) return different("has different content");
  if (mtime && found.mtime?.getTime() !== mtime.getTime()) {
    return different(`was modified at ${found.mtime?.toISOString()}, want ${mtime.toISOString()}`);
  }
  return undefined;
}

/** Adds the task, the path and advice to an error. A CommandError, which has all that, stays as it is. */
export function toInstallError(task: string, path: string, error: unknown): unknown {
  if (error instanceof CommandError || !(error instanceof Error)) return error;
  const advice = ADVICE[(error as { code?: string }).code ?? ""];
  return new CommandError(`Cannot ${task} ${JSON.stringify(path)}: ${messageOf(error)}`, advice, undefined, {
    cause: error,
  });
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

/** Closes the file, since a program that is open for writing cannot be run. */
function write(path: string, { source, mode, mtime }: Copy): void {
  using output = Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
  if (typeof source === "string") copyInto(output, path, source);
  else writeAll(output, source);
  Deno.chmodSync(path, mode);
  if (mtime) Deno.utimeSync(path, mtime, mtime);
  output.syncSync();
}

/**
 * Copies piece by piece. The page cache counts against the container's memory limit: what is not on the disk yet cannot
 * be dropped, and what was read displaces this program's own pages.
 */
function copyInto(output: Deno.FsFile, target: string, source: string): void {
  for (const piece of readPieces(source)) {
    writeAll(output, piece);
    output.syncDataSync();
    dropFromCache(target);
    dropFromCache(source);
  }
}

function holds(path: string, bytes: Uint8Array): boolean {
  return Deno.statSync(path).size === bytes.length && Buffer.compare(Deno.readFileSync(path), bytes) === 0;
}

function isSameFile(one: string, other: string): boolean {
  if (Deno.statSync(one).size !== Deno.statSync(other).size) return false;
  using others = readPieces(other);
  for (const piece of readPieces(one)) {
    const { value } = others.next();
    if (!value || Buffer.compare(piece, value) !== 0) return false;
  }
  return true;
}

/** A file in pieces, all in one buffer, since the executable may be larger than the memory of the container. */
export function* readPieces(path: string): Generator<Uint8Array<ArrayBuffer>> {
  using file = Deno.openSync(path);
  const buffer = new Uint8Array(PIECE);
  for (let length = fill(file, buffer); length > 0; length = fill(file, buffer)) {
    yield buffer.subarray(0, length);
  }
}

/** More than what `deno compile` appends to its runtime for this program, which is all that builds differ in. */
const TAIL = 1024 * 1024;

/** The end of a file, where an executable has this program; all of a file that is short. */
export function readTail(path: string): Uint8Array<ArrayBuffer> {
  using file = Deno.openSync(path);
  const { size } = file.statSync();
  file.seekSync(Math.max(0, size - TAIL), Deno.SeekMode.Start);
  const buffer = new Uint8Array(Math.min(size, TAIL));
  return buffer.subarray(0, fill(file, buffer));
}

/** Reads until the buffer is full or the file ends, and returns the number of bytes. */
function fill(file: Deno.FsFile, buffer: Uint8Array): number {
  let length = 0;
  while (length < buffer.length) {
    const read = file.readSync(buffer.subarray(length));
    if (read === null) break;
    length += read;
  }
  return length;
}
