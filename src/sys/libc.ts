/**
 * The C library's calls this program needs. All are synchronous, so they run on the main thread and what setns()
 * changes holds for the calls after it. `open`, `ioctl` and `syscall` are variadic in C; on Linux x86_64 and aarch64 a
 * variadic call passes integers as any other call does.
 */
import { EINTR, ENOENT, SyscallError } from "./errno.ts";
import { ADDRESS, type Declarations, type Functions, openLibrary } from "./library.ts";

const SYMBOLS = {
  abs: ADDRESS, // int abs(int)
  __errno_location: { parameters: [], result: "pointer" }, // int *__errno_location(void)
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" }, // int accept4(int, struct sockaddr *, socklen_t *, int flags)
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // int bind(int, const struct sockaddr *, socklen_t)
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" }, // int clock_gettime(clockid_t, struct timespec *)
  close: { parameters: ["i32"], result: "i32" }, // int close(int fd)
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // int connect(int, const struct sockaddr *, socklen_t)
  dup2: { parameters: ["i32", "i32"], result: "i32" }, // int dup2(int oldfd, int newfd)
  execve: { parameters: ["buffer", "buffer", "buffer"], result: "i32" }, // int execve(const char *path, char *const argv[], char *const envp[])
  faccessat: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" }, // int faccessat(int, const char *path, int mode, int flags)
  flock: { parameters: ["i32", "i32"], result: "i32" }, // int flock(int fd, int operation)
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" }, // int getsockopt(int, int level, int name, void *value, socklen_t *length)
  ioctl: { parameters: ["i32", "usize"], result: "i32" }, // int ioctl(int fd, unsigned long request, ...)
  listen: { parameters: ["i32", "i32"], result: "i32" }, // int listen(int fd, int backlog)
  malloc_trim: { parameters: ["usize"], result: "i32" }, // int malloc_trim(size_t pad)
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" }, // int memfd_create(const char *name, unsigned flags)
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" }, // int open(const char *path, int flags, mode_t mode)
  posix_fadvise: { parameters: ["i32", "i64", "i64", "i32"], result: "i32" }, // int posix_fadvise(int fd, off_t offset, off_t length, int advice)
  recvfrom: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "buffer"], result: "isize" }, // ssize_t recvfrom(int, void *, size_t, int flags, struct sockaddr *, socklen_t *)
  sched_setscheduler: { parameters: ["i32", "i32", "buffer"], result: "i32" }, // int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
  sendto: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "isize" }, // ssize_t sendto(int, const void *, size_t, int flags, const struct sockaddr *, socklen_t)
  setitimer: { parameters: ["i32", "buffer", "buffer"], result: "i32" }, // int setitimer(int which, const struct itimerval *new, struct itimerval *old)
  setns: { parameters: ["i32", "i32"], result: "i32" }, // int setns(int fd, int nstype)
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" }, // int setsockopt(int, int level, int name, const void *value, socklen_t)
  sigaction: { parameters: ["i32", "buffer", "buffer"], result: "i32" }, // int sigaction(int, const struct sigaction *new, struct sigaction *old)
  sigprocmask: { parameters: ["i32", "buffer", "buffer"], result: "i32" }, // int sigprocmask(int how, const sigset_t *set, sigset_t *oldset)
  sigtimedwait: { parameters: ["buffer", "buffer", "buffer"], result: "i32" }, // int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" }, // int socket(int domain, int type, int protocol)
  syscall: { parameters: ["isize", "isize", "isize", "isize", "isize", "isize"], result: "isize" }, // long syscall(long number, ...)
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" }, // ssize_t write(int fd, const void *, size_t)
} as const satisfies Declarations;

type Symbols = Functions<typeof SYMBOLS>;

let symbols: Symbols | undefined;
/** The memory of this thread's errno. */
let errno = new Int32Array(1);

/** The C library, opened on first use. */
export function libc(): Symbols {
  if (symbols) return symbols;
  symbols = openLibrary("libc.so.6", SYMBOLS);
  errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(symbols.__errno_location()!, 4));
  return symbols;
}

/**
 * Runs a call that reports failure as -1 and sets errno, again if a signal interrupted it.
 *
 * @returns the call's non-negative result, or its errno as a negative number
 */
export function attempt(run: (c: Symbols) => number | bigint): number {
  const c = libc();
  for (;;) {
    const result = Number(run(c));
    if (result >= 0) return result;
    // The one place that reads errno, which each thread has for itself. Nothing is called or allocated after the failed
    // call, since whatever that leads to may overwrite it.
    const number = errno[0]!;
    if (number !== EINTR) return -number;
  }
}

/**
 * Runs a call as {@linkcode attempt} does.
 *
 * @param call how to name the call in an error, `open("/run/netns/a")`
 * @returns the call's non-negative result
 * @throws {SyscallError} with the errno of the failed call
 */
export function check(call: string, run: (c: Symbols) => number | bigint): number {
  const result = attempt(run);
  if (result < 0) throw new SyscallError(call, -result);
  return result;
}

/** Returns memory that this process does not use to the kernel: JavaScript's garbage, and free blocks of the C library. */
export function releaseMemory(): void {
  (globalThis as { gc?: () => void }).gc?.(); // V8's flag --expose-gc
  libc().malloc_trim(0n);
}

/** Blocks this thread, as all calls here do. */
export function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * Returns texts as C wants them: UTF-8, each with a NUL at its end, one after the other in one buffer.
 *
 * @throws {SyscallError} ENOENT when one has a NUL in it: C would take what is before that for the whole
 */
export function cString(...texts: string[]): Uint8Array<ArrayBuffer> {
  const wrong = texts.find((text) => text.includes("\0"));
  if (wrong !== undefined) throw new SyscallError(`find ${JSON.stringify(wrong)}`, ENOENT);
  return new TextEncoder().encode(texts.map((text) => `${text}\0`).join(""));
}
