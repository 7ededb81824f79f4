import { folderOf, ifPresent, syncFolder } from "../../durable_file.ts";
import { EINVAL, SyscallError } from "../../kernel/error.ts";
import { exchangeNames, isRunning } from "../../kernel/program_file.ts";
import { sleep } from "../../kernel/sleep.ts";
import { findDifference } from "./difference.ts";
import type { Copy } from "./layout.ts";

const CHUNK = 1024 * 1024;

/** Long after any copying has ended. */
const LEFTOVER_MS = 10 * 60_000;

/** How often, and for how long, it is seen whether somebody still runs what was replaced. */
const RETRY_MS = 100;
const RETIREMENT_MS = 10_000;

/**
 * Puts a copy in its place by a rename, so that at any instant the old file or the new one is there, whole, also after
 * a crash, and programs that run keep theirs. What was there, a symbolic link too, is replaced; links are not followed.
 *
 * @param accept a last look at the finished copy under its temporary name; when it throws all stays as it was
 * @throws {Error} as Deno does when it cannot be written; then all is as it was
 */
export function place(copy: Copy, accept?: (path: string) => void): void {
  const { target } = copy;
  const temporary = `${folderOf(target)}/.${nameOf(target)}.${crypto.randomUUID()}.tmp`;
  const file = Deno.openSync(temporary, { write: true, createNew: true, mode: 0o600 });
  try {
    copyInto(file, temporary, copy);
    const difference = findDifference({ ...copy, target: temporary });
    if (difference) throw new Error(`its copy ${difference.text}`);
    accept?.(temporary);
    replace(target, temporary);
  } catch (error) {
    ifPresent(() => Deno.removeSync(temporary));
    throw error;
  }
  syncFolder(folderOf(target));
}

/**
 * A program that was made by `deno compile` opens itself by its path once more when it starts. So a file keeps a name as
 * long as calls may be starting from it: it takes over the temporary one.
 */
function replace(target: string, by: string): void {
  if (!ifPresent(() => Deno.lstatSync(target))?.isFile) return Deno.renameSync(by, target);
  Deno.utimeSync(target, new Date(), new Date()); // it is no leftover, and is about to have the name of one
  try {
    exchangeNames(by, target);
  } catch (error) {
    // Some file systems, like NFS, cannot exchange. There a call that is just starting may fail.
    if (!(error instanceof SyscallError && error.errno === EINVAL)) throw error;
    return Deno.renameSync(by, target);
  }
  let waitedMs = 0;
  do {
    sleep(RETRY_MS);
    waitedMs += RETRY_MS;
  } while (isRunning(by) && waitedMs < RETIREMENT_MS);
  Deno.removeSync(by);
}

/** Removes what crashes left of copies to a place. What is younger may be another process's, which still works at it. */
export function removeLeftovers(target: string): void {
  const folder = folderOf(target);
  for (const { name, isFile } of Deno.readDirSync(folder)) {
    if (!isFile || !isTemporary(name, nameOf(target))) continue;
    const path = `${folder}/${name}`;
    const found = ifPresent(() => Deno.lstatSync(path));
    const isOld = found?.mtime && Date.now() - found.mtime.getTime() > LEFTOVER_MS;
    if (isOld) ifPresent(() => Deno.removeSync(path));
  }
}

/** Takes the file, closing it: a program that is open for writing cannot be run. */
function copyInto(file: Deno.FsFile, path: string, { source, mode }: Copy): void {
  using output = file;
  using input = Deno.openSync(source);
  const buffer = new Uint8Array(CHUNK);
  for (let read = input.readSync(buffer); read !== null; read = input.readSync(buffer)) {
    for (let written = 0; written < read;) written += output.writeSync(buffer.subarray(written, read));
  }
  Deno.chmodSync(path, mode);
  output.syncSync();
}

function isTemporary(name: string, of: string): boolean {
  return name.startsWith(`.${of}.`) && /\.[0-9a-f-]{36}\.tmp$/.test(name);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
