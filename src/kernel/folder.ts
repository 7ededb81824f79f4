import { type Fd, openFolder as openFd, openForReading } from "../ffi/fd.ts";
import { withoutUmask } from "../ffi/umask.ts";
import { ENOENT, SyscallError } from "./error.ts";
import type { OpenFolder } from "./kernel.ts";

/**
 * Opens a folder below another, which is the system's own and may be a symbolic link; below it none is followed. Each
 * folder is looked up in the one that is open, so that nobody can exchange the path meanwhile.
 *
 * @param make whether folders that are missing are made
 * @throws {SyscallError} ENOTDIR for a symbolic link
 */
export function openFolder(base: string, names: readonly string[], make: boolean): OpenFolder {
  let folder = openForReading(base);
  let path = base;
  for (const name of names) {
    using parent = folder;
    path += `/${name}`;
    folder = open(`${pathOf(parent)}/${name}`, path, make);
  }
  return { path: pathOf(folder), [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

/** @param name the path in a message */
function open(path: string, name: string, make: boolean): Fd {
  try {
    return openFd(path);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (!make || error.errno !== ENOENT) {
      throw new SyscallError(`open folder ${JSON.stringify(name)}`, error.errno);
    }
  }
  makeFolder(path);
  return open(path, name, false);
}

function makeFolder(path: string): void {
  try {
    withoutUmask(() => Deno.mkdirSync(path, { mode: 0o755 }));
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

function pathOf({ number }: Fd): string {
  return `/proc/self/fd/${number}`;
}
