/** Waiting for the signals that end a service, in this process or in a smaller one that takes its place. */
import { createMemoryFile, execute } from "../ffi/execute.ts";
import { check, libc } from "../ffi/libc.ts";

/** glibc's sigset_t, 1024 bits: SIGTERM (15) and SIGINT (2). */
const SIGNALS = new BigUint64Array(16);
SIGNALS[0] = 1n << 14n | 1n << 1n;

/** uapi asm-generic/signal-defs.h. */
const SIG_BLOCK = 0;

/**
 * Makes SIGTERM and SIGINT wait until they are asked for, from now on and in the program that takes this one's place.
 * Threads inherit this, so it has to come before there are any. The first process of a container needs it above all,
 * since the kernel drops signals which that has not provided for.
 */
export function blockTermination(): void {
  check("sigprocmask", (c) => c.sigprocmask(SIG_BLOCK, SIGNALS, null));
}

/** Sleeps until a blocked SIGTERM or SIGINT has come. */
export function awaitTermination(): void {
  libc().sigwait(SIGNALS, new Int32Array(1)); // fails only for signals that do not exist
}

/**
 * Replaces this process by a program that is in no file.
 *
 * @param args its whole argument list, the name it is told for itself first
 * @throws {SyscallError} when the kernel does not let memory be executed: then this process goes on
 */
export function replaceProcess(program: Uint8Array<ArrayBuffer>, args: readonly string[]): never {
  using file = createMemoryFile("program");
  file.write(program);
  return execute(file, args);
}
