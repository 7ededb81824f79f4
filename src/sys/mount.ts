/** File systems that are mounted without a place in the tree of directories (Linux 5.2). */
import { Fd } from "./fd.ts";
import { check, cString } from "./libc.ts";

// uapi asm-generic/unistd.h; x86_64 has the same numbers. glibc has functions for these calls since 2.36 only.
const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
// uapi linux/mount.h.
const FSOPEN_CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;
/** Read-only, without set-user-ID, device nodes and programs: MOUNT_ATTR_RDONLY, _NOSUID, _NODEV, _NOEXEC. */
const MOUNT_ATTRIBUTES = 0xf;

/** Kept for good, since the kernel gets only its address. */
const SYSFS = cString("sysfs");

/**
 * Mounts a sysfs that shows the network namespace of the calling thread (fs/sysfs/mount.c). It has no place in the tree
 * of directories: `/proc/self/fd/NUMBER` leads to it until the descriptor is closed.
 *
 * @throws {SyscallError} EPERM or ENOSYS where a seccomp profile forbids it, ENOSYS before Linux 5.2
 */
export function mountSysfs(): Fd {
  const name = Deno.UnsafePointer.value(Deno.UnsafePointer.of(SYSFS));
  using context = new Fd(call("fsopen", SYS_FSOPEN, name, FSOPEN_CLOEXEC));
  call("fsconfig", SYS_FSCONFIG, context.number, FSCONFIG_CMD_CREATE);
  return new Fd(call("fsmount", SYS_FSMOUNT, context.number, FSMOUNT_CLOEXEC, MOUNT_ATTRIBUTES));
}

function call(name: string, number: number, ...values: (number | bigint)[]): number {
  const [first = 0n, second = 0n, third = 0n] = values.map(BigInt);
  return check(`mount a sysfs: ${name}`, (c) => c.syscall(BigInt(number), first, second, third, 0n, 0n));
}
