/** The signals that end a process, and giving this process's place to a program that waits for them. */
import { check, cString } from "./libc.ts";

/** glibc's sigset_t, 1024 bits: SIGTERM (15) and SIGINT (2). */
const TERMINATION = new BigUint64Array(16);
TERMINATION[0] = 1n << 14n | 1n << 1n;

/** uapi asm-generic/signal-defs.h. */
const SIG_BLOCK = 0;

/**
 * Makes SIGTERM and SIGINT wait until they are asked for, from now on and in the program that takes this one's place.
 * Threads inherit this, so it has to come before there are any. The first process of a container needs it above all,
 * since the kernel drops signals which that has not provided for.
 */
export function blockTermination(): void {
  check("sigprocmask", (c) => c.sigprocmask(SIG_BLOCK, TERMINATION, null));
}

/** Sleeps until a blocked SIGTERM or SIGINT has come. */
export function awaitTermination(): void {
  check("sigtimedwait", (c) => c.sigtimedwait(TERMINATION, null, null));
}

/**
 * Replaces this process by a program, with an empty environment. Blocked and pending signals stay so (execve(2)).
 *
 * @param args its whole argument list, starting with its own name
 * @throws {SyscallError} when the kernel refuses; then this process goes on
 */
export function replaceProcess(program: string, args: readonly string[]): never {
  // The path, and after it the arguments, to which argv points: one buffer, which lives as long as the call has it.
  const strings = cString(program, ...args);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(strings));
  const starts = [...strings.keys()].filter((at) => strings[at - 1] === 0);
  const argv = BigUint64Array.from([...starts.map((at) => address + BigInt(at)), 0n]);
  const call = `execve(${JSON.stringify(program)})`;
  check(call, (c) => c.execve(strings, argv, new BigUint64Array(1)));
  throw new Error(`${call} returned without having failed`);
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Keeps signals from ending this process, until disposed of. What is told of them comes between two tasks of the event
 * loop, so `caught` has to be awaited.
 */
export function catchSignals(): Disposable & { caught(): Promise<string | undefined> } {
  let signal: string | undefined;
  const listeners = SIGNALS.map((name) => {
    const listener = () => {
      signal ??= name;
    };
    Deno.addSignalListener(name, listener);
    return { name, listener };
  });
  return {
    async caught() {
      await new Promise((resolve) => setTimeout(resolve, 0));
      return signal;
    },
    [Symbol.dispose]() {
      for (const { name, listener } of listeners) Deno.removeSignalListener(name, listener);
    },
  };
}
