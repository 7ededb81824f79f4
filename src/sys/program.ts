import { check, cString } from "./libc.ts";
import { Fd, openForReading } from "./fd.ts";

/** uapi linux/memfd.h. */
const MFD_CLOEXEC = 1;

/** The end of a program. */
export interface ProgramEnd {
  readonly code: number;
  /** The signal that killed it, or null. */
  readonly signal: string | null;
  /** Its standard output. */
  readonly output: string;
}

/**
 * Runs a program to its end, with the environment, working directory and standard error of this process.
 *
 * This process loses its standard input: Deno can run a program synchronously but not write to it meanwhile, so
 * the program inherits descriptor 0, which is a file with the input by then.
 *
 * @param input the program's standard input
 * @param variables set in its environment besides, or instead
 * @throws {Error} as Deno does when it cannot be started, {@linkcode SyscallError} when there is no memory for the input
 */
export function runProgram(
  path: string,
  input: string,
  variables: Readonly<Record<string, string>>,
): ProgramEnd {
  replaceStdin(input);
  const streams = { stdin: "inherit", stdout: "piped", stderr: "inherit" } as const;
  const { code, signal, stdout } = new Deno.Command(path, { env: variables, ...streams }).outputSync();
  return { code, signal, output: new TextDecoder().decode(stdout) };
}

function replaceStdin(text: string): void {
  using file = new Fd(check("memfd_create", (c) => c.memfd_create(cString("input"), MFD_CLOEXEC)));
  file.write(new TextEncoder().encode(text));
  // Opened once more, to be read from the start.
  using reader = openForReading(`/proc/self/fd/${file.number}`);
  check("dup2", (c) => c.dup2(reader.number, 0));
}
