import { bootNode, tail } from "../rig/vm/node/boot.ts";
import { buildGuestProgram } from "../rig/vm/node/guest_program.ts";
import { prepareNode } from "../rig/vm/node/prepare.ts";

const TIMEOUT_MS = 90 * 60_000;

/** What the program on the simulated node measured, by name. */
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

/** What programs took while the node had so many RDMA devices and network links. */
export interface GrowthStep {
  rdmaDevices: number;
  links: number;
  /** Milliseconds from start to end. */
  ms: Record<string, number[]>;
  /** What the empty program took right before each call. */
  emptyMs: Record<string, number[]>;
}

/** A number of calls that were started at the same time, several times. */
export interface AtOnce {
  name: string;
  calls: number;
  /** Until the last one has ended. */
  totalMs: number[];
  /** Of the one that took longest. */
  worstMs: number[];
  /** How many failed, in all runs together: a machine can be too slow for the lock's time limit. */
  failed: number;
}

/** A line that the program on the node prints. */
export type NodeLine = { progress: string } | { measured: NodeMeasurements };

/**
 * Measures on the simulated node, whose processor is emulated: only ratios mean something.
 *
 * @param peer another CNI plugin to compare with
 */
export async function measureOnNode(
  { plugin, empty, runs, peer }: { plugin: string; empty: string; runs: number; peer?: string },
): Promise<NodeMeasurements> {
  const node = await prepareNode((line) => console.error(line));
  const program = await buildGuestProgram(node, [new URL("node_guest.ts", import.meta.url)]);
  // The guest sees the project, but not every other place.
  const bring = async (file: string, name: string) => {
    await Deno.copyFile(file, `${node.directory}/${name}`);
    return `${node.directory}/${name}`;
  };
  const others = [await bring(empty, "empty-program"), String(runs)];
  if (peer !== undefined) others.push(await bring(peer, "peer"));
  let measured: NodeMeasurements | undefined;
  const status = await bootNode(node, {
    command: [program, node.directory, plugin, ...others],
    // PF and VFs alone: 8 devices at first
    kernelArguments: ["rdma_sim.sf_count=0"],
    timeoutMs: TIMEOUT_MS,
    onLine: (line) => {
      const message: NodeLine = JSON.parse(line);
      if ("measured" in message) measured = message.measured;
      else console.error(`node: ${message.progress}`);
    },
  });
  if (status !== 0 || measured === undefined) {
    const log = await tail(`${node.directory}/console.log`);
    throw new Error(`Cannot measure on the simulated node: its program ended with status ${status}\n${log}`);
  }
  return measured;
}
