import { CniError, ErrorCode } from "../cni/error.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Memo } from "./record/memo.ts";
import type { State } from "./record/state.ts";

/** The node that a call works on: its kernel, and what the plugin keeps there. */
export interface Node {
  readonly kernel: Kernel;
  readonly state: State;
  readonly indexes: Memo;
}

/** The time that the kernel may take with a move or a removal that it has begun; usually it is done within a second. */
export const KERNEL_TIMEOUT_MS = 3000;
export const PAUSE_MS = 20;

/** Asks again and again until there is an answer, or for so long in vain. */
export function poll<T>(kernel: Kernel, timeoutMs: number, ask: () => T | undefined): T | undefined {
  const endsAtUs = timeoutMs > 0 ? kernel.getBootTimeUs() + timeoutMs * 1000 : 0;
  for (;;) {
    const answer = ask();
    if (answer !== undefined || timeoutMs <= 0 || kernel.getBootTimeUs() >= endsAtUs) return answer;
    kernel.sleep(PAUSE_MS);
  }
}

/**
 * Makes sure that RDMA devices belong to one namespace each, else they cannot be moved.
 *
 * @throws {CniError} code 101 when the subsystem is in mode shared
 */
export function requireExclusiveMode(kernel: Kernel): void {
  if (kernel.getRdmaMode() === "exclusive") return;
  throw new CniError(
    ErrorCode.rdmaModeShared,
    "Cannot isolate RDMA devices: the RDMA subsystem is in namespace mode shared, want exclusive",
    'run "rdma-cni netns-mode set exclusive --persist"; while other network namespaces exist it takes a reboot',
  );
}
