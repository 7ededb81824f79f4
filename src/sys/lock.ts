/** Waiting for a lock, but not forever. */
import { EAGAIN, SyscallError } from "./errno.ts";
import { type Fd, openForReading } from "./fd.ts";
import { ifPresent } from "./files.ts";
import { attempt, check, libc } from "./libc.ts";

/** uapi linux/file.h. */
const LOCK_EX = 2;
const LOCK_NB = 4;

/** uapi asm-generic/signal.h and signal-defs.h, linux/time.h. */
const SIGALRM = 14;
const SIG_UNBLOCK = 1;
const ITIMER_REAL = 0;

/** uapi linux/sched.h. */
const SCHED_OTHER = 0;
const SCHED_RR = 2;
const SCHED_RESET_ON_FORK = 0x40000000;

/**
 * Takes the exclusive lock on a file or directory. Waiting costs no processor time. The kernel lines up those who wait
 * and wakes the first of them (fs/locks.c, __locks_insert_block). If that one does not run at once, because more programs
 * want to than there are processors, one that comes just then takes the lock, and all that wait lose their turn. So who
 * has to wait goes before all other programs, until it has given the lock back.
 *
 * The lock ends with its process.
 *
 * @returns undefined when the time is over and another process still has it
 * @throws {SyscallError}
 */
export function lockExclusively(path: string, timeoutMs: number): Disposable | undefined {
  using opened = new DisposableStack();
  const file = opened.use(openForReading(path));
  if (!flock(file, path, () => LOCK_EX | LOCK_NB)) {
    if (timeoutMs <= 0) return undefined;
    opened.use(goBeforeOthers());
    if (!waitForLock(file, path, timeoutMs)) return undefined;
  }
  return opened.move();
}

/**
 * The process that has the exclusive lock on a file or directory, by its number in this PID namespace; undefined if it
 * is not visible in it.
 *
 * @param ownPid its number in its own PID namespace
 */
export function findLockHolder(path: string, ownPid: number): number | undefined {
  // Lines are `3: FLOCK  ADVISORY  WRITE 4711 fd:01:262170 0 EOF` (proc_locks(5)), whose device is not that of stat(2) on
  // btrfs. So the inode's number may be that of another file too, but then the process has another number of its own.
  const line = new RegExp(`^\\d+: FLOCK +ADVISORY +WRITE +(\\d+) \\S+:${Deno.statSync(path).ino} `, "gm");
  return Array.from(Deno.readTextFileSync("/proc/locks").matchAll(line), ([, pid]) => Number(pid))
    .find((pid) => getOwnPid(pid) === ownPid);
}

/** The number that a process has in its own PID namespace, the last of its numbers. Undefined if it has ended. */
function getOwnPid(pid: number): number | undefined {
  const status = ifPresent(() => Deno.readTextFileSync(`/proc/${pid}/status`));
  const [, own] = /^NSpid:.*\t(\d+)$/m.exec(status ?? "") ?? [];
  return own === undefined ? undefined : Number(own);
}

/**
 * Lets the main thread run before all other programs, until disposed of, if it may: with CAP_SYS_NICE, and on a kernel
 * with CONFIG_RT_GROUP_SCHED only in a cgroup that has a real-time budget or no cpu controller.
 */
function goBeforeOthers(): Disposable {
  const schedule = (policy: number, priority: number) =>
    void libc().sched_setscheduler(0, policy, Int32Array.of(priority));
  schedule(SCHED_RR | SCHED_RESET_ON_FORK, 1);
  return { [Symbol.dispose]: () => schedule(SCHED_OTHER, 0) };
}

function waitForLock(file: Fd, path: string, timeoutMs: number): boolean {
  const endsAt = performance.now() + timeoutMs;
  using _alarm = startAlarm(timeoutMs);
  return flock(file, path, () => performance.now() < endsAt ? LOCK_EX : LOCK_EX | LOCK_NB);
}

/** @param operation asked for again when a signal has interrupted the call */
function flock({ number }: Fd, path: string, operation: () => number): boolean {
  const result = attempt((c) => c.flock(number, operation()));
  if (result === -EAGAIN) return false;
  if (result < 0) throw new SyscallError(`lock ${JSON.stringify(path)}`, -result);
  return true;
}

/** The pause between two alarms: the first may come just before the call that it should interrupt. */
const REPEAT_MS = 100;

/**
 * Interrupts the system call of the main thread when the time is over, and from then on until disposed of. The kernel
 * gives a signal that is for the whole process to the main thread (kernel/signal.c, complete_signal).
 */
function startAlarm(milliseconds: number): Disposable {
  // glibc's struct sigaction on x86_64 and aarch64: the handler first. Without SA_RESTART a system call is not resumed.
  const action = new BigUint64Array(19);
  // Any function that may be given a number and has no effect: JavaScript cannot run in a handler.
  action[0] = Deno.UnsafePointer.value(libc().abs);
  check("sigaction", (c) => c.sigaction(SIGALRM, action, null));
  // The signals that a parent has blocked stay so in its children.
  const signals = new BigUint64Array(16);
  signals[0] = 1n << BigInt(SIGALRM - 1);
  check("sigprocmask", (c) => c.sigprocmask(SIG_UNBLOCK, signals, null));
  setTimer(milliseconds);
  return { [Symbol.dispose]: () => setTimer(0) };
}

/** @param milliseconds 0 stops the timer */
function setTimer(milliseconds: number): void {
  const toTimeval = (ms: number) => [BigInt(Math.floor(ms / 1000)), BigInt(ms % 1000 * 1000)];
  const timer = BigInt64Array.from([...toTimeval(REPEAT_MS), ...toTimeval(milliseconds)]); // struct itimerval
  check("setitimer", (c) => c.setitimer(ITIMER_REAL, timer, null));
}
