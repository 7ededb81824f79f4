// Many pods that start at once, and that end at once, on the simulated node.
import { attachment, config, readRecord } from "../rig/vm/guest/attachment.ts";
import {
  addNetns,
  type CniOutcome,
  deleteNetns,
  setSimParameter,
  sfs,
  shOk,
} from "../rig/vm/guest/harness.ts";
import { holdLock, lineUp } from "../rig/vm/guest/lock.ts";

/** Lining up takes a second for each call, and 128 moves of a second more than the default allows. */
const LONGEST_WAIT_MS = 600_000;

/** ADDs or DELs that had all lined up for the lock before the first of them got it. */
export interface ManyPods {
  readonly name: "ADD" | "DEL";
  readonly pods: number;
  /** How long each move takes in the kernel, at least. */
  readonly moveMs: number;
  /** From the moment when the first gets the lock until the last has ended: this long the last one waits. */
  readonly totalMs: number;
  readonly failed: number;
  /** How many places a call got the lock earlier or later than it came, at most; only of ADDs, whose records tell. */
  readonly displaced?: number;
}

/**
 * The time that the calls' starts take is left out, since the node's emulated processors need ten times as long for them
 * as real ones.
 */
export async function measureManyPods(pods: number, moveMs: number): Promise<ManyPods[]> {
  await shOk(`rmmod rdma_sim && modprobe --dirname "$MODULES" rdma_sim sf_count=${pods}`);
  const names = Array.from({ length: pods }, (_, number) => `pod${number}`);
  for (const name of names) await addNetns(name);
  const calls = sfs().map(({ deviceId }, number) =>
    attachment(deviceId, {
      netns: names[number]!,
      containerId: names[number]!,
      config: config({ deviceID: deviceId, lockTimeoutMs: LONGEST_WAIT_MS }),
    })
  );
  setSimParameter("move_delay_ms", moveMs);
  const added = await measure(calls.map(({ add }) => () => add()));
  const displaced = findDisplaced(names);
  const deleted = await measure(calls.map(({ del }) => () => del()));
  setSimParameter("move_delay_ms", 0);
  for (const name of names) await deleteNetns(name);
  return [
    { name: "ADD", pods, moveMs, ...added, displaced },
    { name: "DEL", pods, moveMs, ...deleted },
  ];
}

async function measure(starts: (() => Promise<CniOutcome>)[]) {
  const holder = await holdLock();
  const running = await lineUp(starts);
  holder.kill("SIGKILL");
  const begin = performance.now();
  const outcomes = await Promise.all(running);
  const totalMs = performance.now() - begin;
  return { totalMs, failed: outcomes.filter(({ code }) => code !== 0).length };
}

/** The records hold the time at which ADD got the lock. */
function findDisplaced(names: string[]): number {
  const times = names.map((name) => Number(readRecord(`net-${name}-net1`)["bootTimeUs"]));
  const inLine = times.toSorted((a, b) => a - b);
  return Math.max(...times.map((time, place) => Math.abs(inLine.indexOf(time) - place)));
}
