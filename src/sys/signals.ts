/** Programs that are in memory, and take the place of this process. A call of the plugin does not load this. */
/** Waiting for the signals that end a service, in this process or in a smaller one that takes its place. */
import { EINVAL, SyscallError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { check, cString, libc } from "./libc.ts";

// uapi linux/memfd.h.
const MFD_CLOEXEC = 1;
const MFD_EXEC = 0x10;

/**
 * Makes a file that is in memory only, and that may be executed.
 *
 * @param name for people, in /proc
 * @throws {SyscallError} EACCES where the sysctl vm.memfd_noexec forbids it
 */
export function createMemoryFile(name: string): Fd {
  const create = (flags: number) => check("memfd_create", (c) => c.memfd_create(cString(name), flags));
  try {
    return new Fd(create(MFD_CLOEXEC | MFD_EXEC));
  } catch (error) {
    // Before Linux 6.3 there was no such flag, and each could be executed.
    if (!(error instanceof SyscallError && error.errno === EINVAL)) throw error;
    return new Fd(create(MFD_CLOEXEC));
  }
}

/**
 * Replaces this process by a program, with an empty environment. Blocked and pending signals stay so.
 *
 * @param args its whole argument list, the name it is told for itself first
 * @throws {SyscallError} when the kernel refuses: then this process goes on
 */
export function execute(program: Fd, args: readonly string[]): never {
  const strings = args.map(cString);
  const argv = BigUint64Array.from([...strings.map(addressOf), 0n]);
  check("fexecve", (c) => c.fexecve(program.number, argv, new BigUint64Array(1)));
  throw new Error("fexecve returned without having failed");
}

function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
}

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
  libc().sigwait(TERMINATION, new Int32Array(1)); // fails only for signals that do not exist
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
