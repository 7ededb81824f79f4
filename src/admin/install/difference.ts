import { Buffer } from "node:buffer";
import { ifPresent } from "../../durable_file.ts";
import type { Copy } from "./place.ts";

/** What of a file is not as it should be. */
export interface Difference {
  readonly isAbsent: boolean;
  /** A clause about the file: "is not there". */
  readonly text: string;
}

const CHUNK = 1024 * 1024;

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
  const [a, b] = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
  for (;;) {
    const length = fill(first, a);
    if (fill(second, b) !== length || Buffer.compare(a.subarray(0, length), b.subarray(0, length)) !== 0) {
      return false;
    }
    if (length < CHUNK) return true;
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
