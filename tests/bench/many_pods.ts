// Many pods that start at once, and that end at once, on the simulated node.
import { attachment, readRecord } from "../rig/vm/guest/attachment.ts";
import {
  addNetns,
  type CniOutcome,
  deleteNetns,
  setSimParameter,
  sfs,
  shOk,
} from "../rig/vm/guest/harness.ts";
import { holdLock, lineUp } from "../rig/vm/guest/lock.ts";

/** ADDs or DELs that had all lined up for the lock before the first of them got it. */
export interface ManyPods {
  name: string;
  pods: number;
  /** How long each move takes in the kernel, at least. */
  moveMs: number;
  /** From the moment when the first gets the lock until the last has ended, for each run. */
  totalMs: number[];
  /** How many failed, in all runs together. */
  failed: number;
  /** How many places a call got the lock earlier or later than it came, at most; of ADDs, whose records tell. */
  displaced: number;
}

/**
 * The time that the calls' starts take is left out, since the node's emulated processor needs ten times as long for them
 * as a real one, which has more cores besides.
 */
export async function measureManyPods(pods: number, moveMs: number, runs: number): Promise<ManyPods[]> {
  await shOk(`rmmod rdma_sim && modprobe --dirname "$MODULES" rdma_sim sf_count=${pods}`);
  const names = Array.from({ length: pods }, (_, number) => `pod${number}`);
  for (const name of names) await addNetns(name);
  const calls = sfs().map(({ deviceId }, number) =>
    attachment(deviceId, { netns: names[number]!, containerId: names[number]! })
  );
  setSimParameter("move_delay_ms", moveMs);
  const results = ["ADD", "DEL"].map((name): ManyPods => ({
    ...{ name, pods, moveMs, totalMs: [], failed: 0, displaced: 0 },
  }));
  const [adds, dels] = results as [ManyPods, ManyPods];
  for (let run = 0; run < runs; run++) {
    await measure(adds, calls.map(({ add }) => () => add()));
    adds.displaced = Math.max(adds.displaced, findDisplaced(names));
    await measure(dels, calls.map(({ del }) => () => del()));
  }
  setSimParameter("move_delay_ms", 0);
  for (const name of names) await deleteNetns(name);
  return results;
}

async function measure(result: ManyPods, starts: (() => Promise<CniOutcome>)[]): Promise<void> {
  const holder = await holdLock();
  const running = await lineUp(starts);
  holder.kill("SIGKILL");
  const begin = performance.now();
  const outcomes = await Promise.all(running);
  result.totalMs.push(performance.now() - begin);
  result.failed += outcomes.filter(({ code }) => code !== 0).length;
}

/** The records hold the time at which ADD got the lock. */
function findDisplaced(names: string[]): number {
  const times = names.map((name) => Number(readRecord(`net-${name}-net1`)["bootTimeUs"]));
  const inLine = times.toSorted((a, b) => a - b);
  return Math.max(...times.map((time, place) => Math.abs(inLine.indexOf(time) - place)));
}
