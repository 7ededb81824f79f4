/** More than what `deno compile` appends to its runtime for this program. */
const TAIL = 1024 * 1024;

/** Words of `src/main.ts` that tell it from any other program. */
const NAME = "rdma-cni --help";

/**
 * Whether a file is this program, of whatever version, as its last bytes tell: the program's text, and 24 bytes that
 * `deno compile` puts at the end, which begin so. Running it to ask would take trust in what it is.
 *
 * @throws {Error} as Deno does when it cannot be read
 */
export function isOwnProgram(path: string): boolean {
  using file = Deno.openSync(path);
  const { size } = file.statSync();
  file.seekSync(Math.max(0, size - TAIL), Deno.SeekMode.Start);
  const tail = new Uint8Array(Math.min(size, TAIL));
  for (let length = 0; length < tail.length;) {
    const read = file.readSync(tail.subarray(length));
    if (read === null) break;
    length += read;
  }
  const text = new TextDecoder("latin1").decode(tail);
  return text.slice(-24).startsWith("d3n0l4nd") && text.includes(NAME);
}
