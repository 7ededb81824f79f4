import { check } from "../ffi/libc.ts";

/** uapi linux/time.h: counts from the start of the kernel, also while the machine sleeps, and cannot be set. */
const CLOCK_BOOTTIME = 7;

/** Microseconds since the kernel started. */
export function getBootTimeUs(): number {
  const time = new BigInt64Array(2); // struct timespec: seconds, nanoseconds
  check("read the time since boot", (c) => c.clock_gettime(CLOCK_BOOTTIME, time));
  const [seconds = 0n, nanoseconds = 0n] = time;
  return Number(seconds * 1_000_000n + nanoseconds / 1000n);
}
