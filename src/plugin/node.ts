import { CniError, ErrorCode } from "../cni/error.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { DeviceIndexes } from "./device_indexes.ts";
import type { State } from "./state.ts";

/** What a call works on: the kernel of this node and what is kept on it. */
export interface Node {
  readonly kernel: Kernel;
  readonly state: State;
  readonly indexes: DeviceIndexes;
}

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

/** Far below the two minutes that kubelet gives a CNI call, far above the second or two that a move can take. */
const TIMEOUT_MS = 30_000;
/** Asking more and more rarely: with many calls waiting, their asking would slow down the one that works. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 160;

/**
 * Takes the lock on the state directory itself, which needs no file and no space. Moves must not overlap: two at once can
 * swap the numbers of their uverbs devices, after the device plugin has handed those numbers to pods.
 * The kernel drops the lock when the process ends, however it ends.
 *
 * @throws {CniError} code 11 when another call has it for 30 seconds
 */
export function takeLock(
  kernel: Pick<Kernel, "tryLock" | "sleep">,
  directory: string,
  timeoutMs = TIMEOUT_MS,
): Disposable {
  let pauseMs = FIRST_PAUSE_MS;
  for (let waitedMs = 0; waitedMs <= timeoutMs; waitedMs += pauseMs) {
    const lock = kernel.tryLock(directory);
    if (lock) return lock;
    if (waitedMs > 0) pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    kernel.sleep(pauseMs);
  }
  throw new CniError(
    ErrorCode.tryAgainLater,
    `Cannot lock ${JSON.stringify(directory)}: another call has held it for ${timeoutMs / 1000} s`,
    `"fuser -v ${directory}" shows the process; the runtime will try again`,
  );
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
