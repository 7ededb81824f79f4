import type { Kernel } from "../kernel/kernel.ts";

/** How long the kernel may take with a move or a removal that it has begun; usually it is done within a second. */
export const KERNEL_TIMEOUT_MS = 3000;
export const PAUSE_MS = 20;

/** Asks again and again until there is an answer, or for so long in vain. */
export function poll<T>(kernel: Kernel, timeoutMs: number, ask: () => T | undefined): T | undefined {
  for (let waitedMs = 0;; waitedMs += PAUSE_MS) {
    const answer = ask();
    if (answer !== undefined || waitedMs >= timeoutMs) return answer;
    kernel.sleep(PAUSE_MS);
  }
}
