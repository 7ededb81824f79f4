import { Buffer } from "node:buffer";

/** More than what `deno compile` appends to its runtime for this program. */
const TAIL = 1024 * 1024;

/** Words of `src/main.ts` that tell it from any other program. */
const NAME = "rdma-cni --help";

/** Words that every launcher has (launcher.c), and more bytes than any has. */
const MARK = "rdma-cni launcher";
const LAUNCHER_LIMIT = 16 * 1024;

/**
 * What a file is, as its bytes show: a launcher or this program, each of whatever version, or something else. Running it
 * to ask would take trust in what it is.
 *
 * @throws {Error} as Deno does when it cannot be read
 */
export function recognize(path: string): "launcher" | "program" | "other" {
  using file = Deno.openSync(path);
  const { size } = file.statSync();
  if (size <= LAUNCHER_LIMIT) {
    const text = readFrom(file, 0, size);
    if (text.startsWith("\x7fELF") && text.includes(MARK)) return "launcher";
  }
  const tail = readFrom(file, Math.max(0, size - TAIL), Math.min(size, TAIL));
  // The program's text, and 24 bytes that `deno compile` puts at the end, which begin so.
  return tail.slice(-24).startsWith("d3n0l4nd") && tail.includes(NAME) ? "program" : "other";
}

function readFrom(file: Deno.FsFile, offset: number, size: number): string {
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(size);
  for (let length = 0; length < size;) {
    const read = file.readSync(bytes.subarray(length));
    if (read === null) break;
    length += read;
  }
  return Buffer.from(bytes).toString("latin1");
}
