import { folderOf, ifPresent, syncFolder } from "../../durable_file.ts";
import { findDifference } from "./difference.ts";

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
  const folder = folderOf(target);
  const temporary = `${folder}/.${target.slice(folder.length + 1)}.${crypto.randomUUID()}.tmp`;
  try {
    make(temporary);
    Deno.renameSync(temporary, target);
  } catch (error) {
    ifPresent(() => Deno.removeSync(temporary));
    throw error;
  }
  syncFolder(folder);
}

/**
 * Removes what crashes left of copies into a folder.
 *
 * @param isOurs which names the copies were to have
 */
export function removeLeftovers(folder: string, isOurs: (name: string) => boolean): void {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const [, of] = /^\.(.*)\.[0-9a-f-]{36}\.tmp$/.exec(name) ?? [];
    if (!isDirectory && of !== undefined && isOurs(of)) Deno.removeSync(`${folder}/${name}`);
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
