import { measureOnNode } from "./boot.ts";
import { timeVersion } from "./here.ts";

/** The same call of many pods, all started at the same time. */
export interface ManyCalls {
  command: "ADD" | "DEL";
  pods: number;
  /** The time that the test module adds to each of the kernel's moves. */
  delayMs: number;
  /** From the first start to the last end. */
  totalMs: number;
  /** Of the call that took longest. */
  worstMs: number;
  failed: number;
  /** The time that the kernel took to move a device, of each call, in the order in which they got the lock. */
  moveMs: number[];
  /** The time for which each of them held the lock. */
  lockedMs: number[];
  /** From when the first of them got the lock to when the last one gave it back. */
  inTurnMs: number;
  /** The number of calls that queued later and got the lock earlier, of the call with the most. */
  overtaken: number;
}

/** Measurements of the program on the simulated node, in milliseconds as the host has them. */
export interface ManyPods {
  /** The number of times as long as the host that the node takes for the same work. Its moves take that much longer too. */
  slowness: number;
  rows: ManyCalls[];
  /** Calls of a single pod while nothing else happens, without a delay. */
  alone: ManyCalls[];
}

/**
 * Starts the calls of many pods at once on the simulated node, where a move takes from nothing to one second.
 *
 * @param processors of the node. They take turns in the emulator: each of several is as much slower, while all of them
 *   are busy, and what runs alone is as much too fast.
 */
export async function measureManyPods(plugin: string, processors: number): Promise<ManyPods> {
  return await measureOnNode({
    module: "many_pods_guest.ts",
    plugin,
    args: [`${await timeVersion(plugin) / processors}`],
    processors,
    clock: "instructions, no idle time",
    scalableFunctions: 128,
    // 128 calls of 20 MiB, and as much as for the other measurements
    memoryMiB: 5120,
    timeoutMs: 6 * 3_600_000,
  });
}
