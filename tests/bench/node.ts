import { measureOnNode } from "./boot.ts";
import type { Programs } from "./here.ts";

/** Measurements of the program on the simulated node, by name. */
export interface NodeMeasurements {
  growth: GrowthStep[];
  /** Largest resident memory, the pages that it shares with other programs included. */
  peakKb: Record<string, number[]>;
  /** The most that was charged to a memory cgroup, the executable being in the page cache. */
  chargedKb: Record<string, number[]>;
  agent: AgentGrowth;
}

/** Times of programs while the node had so many RDMA devices and network links. */
export interface GrowthStep {
  rdmaDevices: number;
  links: number;
  /** Milliseconds from start to end. */
  ms: Record<string, number[]>;
}

/** The agent before and after many calls. */
export interface AgentGrowth {
  calls: number;
  residentKb: [before: number, after: number];
  descriptors: [before: number, after: number];
}

/** Compares calls, one after the other, on a node with few and with many RDMA devices. */
export async function measureGrowth(
  { plugin, empty, peer }: Programs,
  runs: number,
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
