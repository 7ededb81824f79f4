import { Log } from "../log.ts";
import { openForAppending } from "../sys/fd.ts";
import { writeAll } from "../sys/files.ts";
import type { Process } from "./dispatch.ts";
import { CniError, ErrorCode } from "./error.ts";
import { messageOf } from "../sys/errno.ts";

/**
 * More than any runtime sends: etcd refuses networks of 1.5 MB. A larger input is a fault, and must not take the node's
 * memory: one of the worst kind takes 200 times its length.
 */
const INPUT_LIMIT = 2 * 1024 * 1024;

/** This process: its environment, its three streams and its log. */
export function currentProcess(): Process {
  const log = new Log(writeError);
  return {
    getEnv,
    readInput: () => readAll({ readSync: readStdin }, INPUT_LIMIT),
    writeOutput,
    openLogFile: (path) => {
      const file = openForAppending(path);
      log.addSink((line) => file.write(new TextEncoder().encode(line)));
    },
    log,
  };
}

/** Returns a variable. A value that is not UTF-8 becomes the replacement character, which no variable may have. */
function getEnv(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch {
    return "\ufffd";
  }
}

function writeOutput(text: string): void {
  io("write to standard output", "an ADD has taken back what it did", () => writeText(text));
}

/** Writes to standard output, for people. @throws {Error} as Deno does */
export function writeText(text: string): void {
  writeAll(Deno.stdout, new TextEncoder().encode(text));
}

/** Writes to standard error, for people. */
export function writeError(text: string): void {
  writeAll(Deno.stderr, new TextEncoder().encode(text));
}

/**
 * All of a stream as text.
 *
 * @throws {CniError} code 6 when it is longer than `limit` bytes
 */
export function readAll(stream: { readSync(bytes: Uint8Array): number | null }, limit: number): string {
  const buffer = new Uint8Array(64 * 1024);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const read = stream.readSync(buffer);
    if (read === null) break;
    length += read;
    if (length > limit) {
      throw new CniError(
        ErrorCode.undecodable,
        `Cannot read network configuration: it is longer than ${limit} bytes`,
      );
    }
    // Copied, since a runtime may send byte by byte.
    chunks.push(buffer.slice(0, read));
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return new TextDecoder().decode(bytes);
}

function readStdin(buffer: Uint8Array): number | null {
  return io("read standard input", "nothing was done", () => Deno.stdin.readSync(buffer));
}

function io<T>(what: string, consequence: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new CniError(
      ErrorCode.ioFailure,
      `Cannot ${what}: ${messageOf(cause)}`,
      `the runtime that called the plugin has ended or given up; ${consequence}`,
      { cause },
    );
  }
}
