import { measureOnNode } from "./boot.ts";
import { timeVersion } from "./here.ts";
import type { Traced } from "./trace.ts";

/** The same call of many pods, all started at the same time, in milliseconds as the host has them. */
export interface PodCalls extends Traced {
  /** `128 ADDs by the agent`. */
  name: string;
  by: "executed" | "agent";
  /** Whether they were made in a cgroup with the limits of thick Multus. */
  isLimited: boolean;
  /** From the first start to the last end. */
  totalMs: number;
  /** Of the call that took longest. */
  worstMs: number;
  failed: number;
}

/** Measurements of the program on the simulated node. */
export interface Pods {
  /** The number of times as long as the host that the node takes for the same work. Its moves take that much longer too. */
  slowness: number;
  rows: PodCalls[];
}

/** Starts the calls of many pods at once on the simulated node: each executed, and by the agent. */
export async function measurePods(plugin: string): Promise<Pods> {
  return await measureOnNode({
    module: "pods_guest.ts",
    plugin,
    args: [`${await timeVersion(plugin)}`],
    clock: "instructions, no idle time",
    scalableFunctions: 128,
    // 128 executed calls of 20 MiB, and as much as for the other measurements
    memoryMiB: 5120,
    timeoutMs: 60 * 60_000,
  });
}
