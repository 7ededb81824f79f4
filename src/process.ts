import type { Process } from "./cni/dispatch.ts";
import { CniError, ErrorCode } from "./cni/error.ts";
import { openForAppending } from "./ffi/fd.ts";
import { Log } from "./log.ts";

/** More than any runtime sends; a larger input is a fault, and must not take the node's memory. */
const INPUT_LIMIT = 8 * 1024 * 1024;

/** This process: its environment, its three streams and its log. */
export function currentProcess(): Process {
  const log = new Log(writeError);
  return {
    getEnv: (name) => Deno.env.get(name),
    readInput,
    writeOutput,
    openLogFile: (path) => {
      const file = openForAppending(path);
      log.addSink((line) => file.write(new TextEncoder().encode(line)));
    },
    log,
  };
}

function writeOutput(text: string): void {
  io("write to standard output", "an ADD has taken back what it did", () => writeAll(Deno.stdout, text));
}

/** Writes to standard error, for people. */
export function writeError(text: string): void {
  writeAll(Deno.stderr, text);
}

function readInput(): string {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const chunk = new Uint8Array(64 * 1024);
    const read = io("read standard input", "nothing was done", () => Deno.stdin.readSync(chunk));
    if (read === null) break;
    length += read;
    if (length > INPUT_LIMIT) {
      throw new CniError(
        ErrorCode.undecodable,
        `Cannot read network configuration: it is longer than ${INPUT_LIMIT} bytes`,
      );
    }
    chunks.push(chunk.subarray(0, read));
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return new TextDecoder().decode(bytes);
}

function io<T>(what: string, consequence: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new CniError(
      ErrorCode.ioFailure,
      `Cannot ${what}: ${cause instanceof Error ? cause.message : cause}`,
      `the runtime that called the plugin has ended or given up; ${consequence}`,
      { cause },
    );
  }
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += stream.writeSync(bytes.subarray(written));
}
