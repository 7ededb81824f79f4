/** Programs that are in memory, and take the place of this process. A call of the plugin does not load this. */
import { EINVAL, SyscallError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { check, cString } from "./libc.ts";

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
