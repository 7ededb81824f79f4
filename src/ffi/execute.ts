import type { Fd } from "./fd.ts";
import { check, cString } from "./libc.ts";

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
