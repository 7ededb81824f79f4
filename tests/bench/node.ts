import { measureOnNode } from "./boot.ts";

/** Measurements of the program on the simulated node, by name. */
export interface NodeMeasurements {
  growth: GrowthStep[];
  /** Milliseconds that the order to move the device itself takes in the kernel, of ADD and DEL. */
  moveMs: Record<string, number[]>;
  /** Largest resident memory, the pages that it shares with other programs included. */
  peakKb: Record<string, number[]>;
  /** The most that was charged to a memory cgroup, the executable being in the page cache. */
  chargedKb: Record<string, number[]>;
  atOnce: AtOnce[];
}

/** Times of programs while the node had so many RDMA devices and network links. */
export interface GrowthStep {
  rdmaDevices: number;
  links: number;
  /** Milliseconds from start to end. */
  ms: Record<string, number[]>;
}

/** A number of calls that were started at the same time, several times. */
export interface AtOnce {
  name: string;
  calls: number;
  /** Until the last one has ended. */
  totalMs: number[];
  /** Of the one that took longest. */
  worstMs: number[];
  /** The number that failed, in all runs together: a machine can be too slow for the lock's time limit. */
  failed: number;
}

/** Compares calls, one after the other, on a node with few and with many RDMA devices, and 32 at once. */
export async function measureGrowth(
  { plugin, empty, runs, peer }: { plugin: string; empty: string; runs: number; peer?: string },
): Promise<NodeMeasurements> {
  return await measureOnNode({
    module: "node_guest.ts",
    plugin,
    args: [String(runs)],
    files: { "empty-program": empty, ...(peer === undefined ? {} : { peer }) },
    // PF and VFs alone: 8 devices at first
    scalableFunctions: 0,
    timeoutMs: 90 * 60_000,
  });
}
