/** Measurements on the simulated node, whose clock counts instructions: only ratios mean something. */
import { bootNode, type Clock, tail } from "../rig/vm/node/boot.ts";
import { buildGuestProgram } from "../rig/vm/node/guest_program.ts";
import { prepareTestNode } from "../rig/vm/node/prepare.ts";
import { type Programs, timeVersion } from "./here.ts";
import type { Traced } from "./trace.ts";

export type NodeLine = { progress: string } | { measured: unknown };

export interface NodeMeasurements {
  growth: GrowthStep[];
  /** Largest resident memory, the pages that it shares with other programs included. */
  peakKb: Record<string, number[]>;
  /** The most that was charged to a memory cgroup, the executable being in the page cache. */
  chargedKb: Record<string, number[]>;
  /** The agent before and after so many calls. */
  agent: {
    calls: number;
    residentMiB: [before: number, after: number];
    descriptors: [before: number, after: number];
  };
}

export interface GrowthStep {
  rdmaDevices: number;
  ms: Record<string, number[]>;
}

export interface PodCalls extends Traced {
  name: string;
  by: "executed" | "agent";
  /** Whether they were made in a cgroup with the limits of thick Multus. */
  isLimited: boolean;
  totalMs: number;
  worstMs: number;
  failed: number;
}

export interface Pods {
  /** The number of times as long as the host that the node takes for the same work. Its moves take that much longer too. */
  slowness: number;
  rows: PodCalls[];
}

export async function measureGrowth(
  { plugin, empty, peer }: Programs,
  runs: number,
): Promise<NodeMeasurements> {
  return await measure("node_guest.ts", plugin, {
    args: [String(runs)],
    files: { "empty-program": empty, ...(peer === undefined ? {} : { peer }) },
    scalableFunctions: 0, // PF and VFs alone: 8 devices at first
    memoryMiB: 2048,
    clock: "instructions",
    timeoutMs: 90 * 60_000,
  }) as NodeMeasurements;
}

export async function measurePods(plugin: string): Promise<Pods> {
  return await measure("pods_guest.ts", plugin, {
    args: [`${await timeVersion(plugin)}`],
    files: {},
    scalableFunctions: 128,
    memoryMiB: 5120, // 128 executed calls of 20 MiB, and as much as for the other measurements
    clock: "instructions, no idle time",
    timeoutMs: 60 * 60_000,
  }) as Pods;
}

interface Surroundings {
  args: string[];
  /** More arguments: files, each under a name that no other file of the node has. */
  files: Record<string, string>;
  scalableFunctions: number;
  memoryMiB: number;
  clock: Clock;
  timeoutMs: number;
}

/** Runs a program of this directory on the node. @throws {Error} if it fails, with the end of the console log */
async function measure(
  module: string,
  plugin: string,
  { args, files, scalableFunctions, ...boot }: Surroundings,
): Promise<unknown> {
  const node = await prepareTestNode((line) => console.error(line));
  const program = await buildGuestProgram(node, [new URL(module, import.meta.url)]);
  // The guest sees the project, but not every other place.
  const copies = Object.entries(files).map(([name, file]) => ({ file, copy: `${node.directory}/${name}` }));
  for (const { file, copy } of copies) await Deno.copyFile(file, copy);
  let measured: unknown;
  const status = await bootNode(node, {
    ...boot,
    command: [program, node.directory, plugin, ...args, ...copies.map(({ copy }) => copy)],
    kernelArguments: [`rdma_sim.sf_count=${scalableFunctions}`],
    onLine: (line) => {
      const message: NodeLine = JSON.parse(line);
      if ("measured" in message) measured = message.measured;
      else console.error(`node: ${message.progress}`);
    },
  });
  if (status === 0 && measured !== undefined) return measured;
  const log = await tail(`${node.directory}/console.log`);
  throw new Error(`Cannot measure on the simulated node: its program ended with status ${status}\n${log}`);
}
