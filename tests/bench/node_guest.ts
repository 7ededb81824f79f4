// Runs on the simulated node. Arguments: directory of the prepared node, compiled plugin, number of runs, empty program
// and, to compare with, another plugin.
import { attachment, config, prevResult } from "../rig/vm/guest/attachment.ts";
import { countRdmaDevices, growNode } from "../rig/vm/guest/grow.ts";
import {
  addNetns,
  type CniOutcome,
  deleteNetns,
  names,
  netdevToNetns,
  netnsPath,
  plugin,
  rebind,
  sfs,
  shOk,
  vf,
} from "../rig/vm/guest/harness.ts";
import { MemoryCgroup } from "../rig/vm/guest/memory_cgroup.ts";
import { COMPILED_PLUGIN, INSTALLED_PLUGIN } from "../rig/vm/guest/programs.ts";
import { timeWrapper } from "../support/gnu_time.ts";
import { copyAnew, RUNS_A_COPY } from "./copies.ts";
import type { AtOnce, GrowthStep, NodeMeasurements } from "./node.ts";
import { printMeasured, say } from "./say.ts";

const [, , RUNS = "", EMPTY = "", PEER] = Deno.args;
const runs = Number(RUNS);
const [FEW, MANY] = [8, 1024];
/** The few are measured before and after the many, so that a machine that gets slower or faster does not count. */
const STEPS: readonly (readonly [wanted: number, rounds: number])[] = [
  [FEW, Math.ceil(runs / 2)],
  [64, 10],
  [256, 10],
  [MANY, runs],
  [FEW, Math.floor(runs / 2)],
];
const CALLS_AT_ONCE = 32;

/** All of them beside the plugin: a file of the host takes longer to read. */
const EMPTY_COPY = "/opt/cni/bin/empty-program";
const PEER_COPY = "/opt/cni/bin/peer";
const COPIES = [
  [COMPILED_PLUGIN, INSTALLED_PLUGIN],
  [EMPTY, EMPTY_COPY],
  ...(PEER === undefined ? [] : [[PEER, PEER_COPY] as const]),
] as const;

const EMPTY_PROGRAM = "empty program";

type Start = (wrapper?: string[]) => Promise<CniOutcome>;
/** Calls that are started in turn, again and again. */
type Calls = Record<string, Start>;

const emptyProgram: Start = (wrapper = []) =>
  plugin({ command: "VERSION", wrapper: [...wrapper, EMPTY_COPY] });

/** VERSION, and each way of ADD and DEL. */
async function candidates(): Promise<Calls[]> {
  await addNetns("pod");
  await netdevToNetns(vf(1).netdev, "pod", "net2");
  rebind(vf(3).deviceId);
  const interfaces = [{ name: "net1", mac: vf(2).mac, sandbox: netnsPath("pod") }];
  const byId = attachment(vf(0).deviceId);
  const ways = {
    deviceID: byId,
    "deviceID, rebound VF": attachment(vf(3).deviceId),
    parent: attachment("", { config: config(), ifname: "net2" }),
    MAC: attachment("", { config: config({ prevResult: prevResult({ interfaces }) }) }),
  };
  const start = (call: typeof byId.add): Start => (wrapper = []) => call({ wrapper });
  return [
    { VERSION: (wrapper = []) => plugin({ command: "VERSION", wrapper }) },
    ...Object.entries(ways).map(([way, { add, del }]) => ({
      [`ADD by ${way}`]: start(add),
      [`DEL by ${way}`]: start(del),
    })),
    ...(PEER === undefined ? [] : [{
      // Its one argument, the plugin's path, means nothing to a CNI plugin.
      "peer's ADD by deviceID": () => byId.add({ wrapper: [PEER_COPY] }),
      "peer's DEL by deviceID": () => byId.del({ wrapper: [PEER_COPY] }),
    }]),
  ];
}

async function succeed(name: string, start: Start, wrapper?: string[]): Promise<CniOutcome> {
  const outcome = await start(wrapper);
  const { code, stdout, stderr } = outcome;
  if (code !== 0) throw new Error(`${name} exited with ${code}: ${stdout}${stderr}`);
  return outcome;
}

async function measureGrowth(all: Calls[]): Promise<GrowthStep[]> {
  const steps = new Map<number, GrowthStep>();
  for (const [wanted, rounds] of STEPS) {
    say(`${wanted} RDMA devices, ${rounds} runs`);
    await growNode(wanted);
    const rdma = countRdmaDevices();
    const links = names("/sys/class/net").length;
    const step = steps.get(rdma) ?? { rdmaDevices: rdma, links, ms: {}, emptyMs: {} };
    steps.set(rdma, step);
    for (let left = rounds; left > 0; left -= RUNS_A_COPY) {
      await copyAnew(COPIES);
      // What has the narrowest limits is measured three times as often.
      const [version, byId] = all;
      const inTurn = wanted === FEW ? [...all, version!, byId!, version!, byId!] : all;
      for (const calls of inTurn) await measure(calls, Math.min(left, RUNS_A_COPY), step);
    }
  }
  return [...steps.values()];
}

/**
 * What ran last is still in the processor's caches, and in those of its emulator. So each call follows the empty
 * program, and the empty program such calls.
 */
async function measure(calls: Calls, rounds: number, { ms, emptyMs }: GrowthStep): Promise<void> {
  for (let round = 0; round <= rounds; round++) {
    for (const [name, start] of Object.entries(calls)) {
      const empty = await succeed(EMPTY_PROGRAM, emptyProgram);
      const call = await succeed(name, start);
      // The first round only warms the page cache.
      if (round === 0) continue;
      (ms[EMPTY_PROGRAM] ??= []).push(empty.ms);
      (emptyMs[name] ??= []).push(empty.ms);
      (ms[name] ??= []).push(call.ms);
    }
  }
}

const MOVE = "ADD by deviceID";
const MOVE_HOME = "DEL by deviceID";

/** With a filter in the kernel, so that all other calls run at full speed. */
const STRACE = ["strace", "-f", "--seccomp-bpf", "-T", "-e", "trace=sendto"];

/** The order to move a device is RDMA_NLDEV_CMD_SET (2) of RDMA_NL_NLDEV (5): 5 << 10 | 2. */
const SET_ORDER = /nlmsg_type=0x1402\b.*<([\d.]+)>$/m;

async function measureMoves(all: Calls): Promise<Record<string, number[]>> {
  say("the kernel's own time in a move");
  const report = "/run/trace";
  const moves: Record<string, number[]> = { [MOVE]: [], [MOVE_HOME]: [] };
  for (let run = 0; run < runs; run++) {
    for (const [name, ms] of Object.entries(moves)) {
      await succeed(name, all[name]!, [...STRACE, "-o", report]);
      const seconds = SET_ORDER.exec(await Deno.readTextFile(report))?.[1];
      if (seconds === undefined) throw new Error(`${name}: strace shows no order to move a device`);
      ms.push(Number(seconds) * 1000);
    }
  }
  return moves;
}

async function measureMemory(all: Calls): Promise<Pick<NodeMeasurements, "peakKb" | "chargedKb">> {
  say("memory");
  const report = "/run/peak";
  const none = () => ({ [EMPTY_PROGRAM]: [], VERSION: [], [MOVE]: [], [MOVE_HOME]: [] });
  const peakKb: Record<string, number[]> = none();
  const chargedKb: Record<string, number[]> = none();
  for (let run = 0; run < runs; run++) {
    for (const [name, kb] of Object.entries(peakKb)) {
      await succeed(name, all[name]!, timeWrapper(report));
      kb.push(Number(await Deno.readTextFile(report)));
      await using cgroup = await MemoryCgroup.create();
      await succeed(name, all[name]!, cgroup.wrapper());
      chargedKb[name]!.push(cgroup.peakKb());
    }
  }
  return { peakKb, chargedKb };
}

/** Calls of as many pods as there are scalable functions, against as many empty programs. */
async function measureAtOnce(): Promise<AtOnce[]> {
  say(`${CALLS_AT_ONCE} calls at once, ${runs} runs`);
  await deleteNetns("pod");
  await shOk(`rmmod rdma_sim && modprobe --dirname "$MODULES" rdma_sim sf_count=${CALLS_AT_ONCE}`);
  const pods: ReturnType<typeof attachment>[] = [];
  for (const [number, { deviceId }] of sfs().entries()) {
    await addNetns(`pod${number}`);
    pods.push(attachment(deviceId, { netns: `pod${number}`, containerId: `pod${number}` }));
  }
  const all: Record<string, Start[]> = {
    [EMPTY_PROGRAM]: pods.map(() => () => emptyProgram()),
    ADD: pods.map(({ add }) => () => add()),
    DEL: pods.map(({ del }) => () => del()),
  };
  const results = Object.keys(all).map((name): AtOnce => ({
    name,
    calls: CALLS_AT_ONCE,
    totalMs: [],
    worstMs: [],
    failed: 0,
  }));
  for (let run = 0; run < runs; run++) {
    for (const result of results) {
      const begin = performance.now();
      const outcomes = await Promise.all(all[result.name]!.map((start) => start()));
      result.totalMs.push(performance.now() - begin);
      result.worstMs.push(Math.max(...outcomes.map(({ ms }) => ms)));
      const failed = pods.filter((_, number) => outcomes[number]?.code !== 0);
      result.failed += failed.length;
      if (result.name !== "DEL") continue;
      // A DEL may have given up waiting for the lock, and the runtime would try again.
      for (const { del } of failed) await succeed("DEL", () => del());
    }
  }
  return results;
}

const calls = await candidates();
const growth = await measureGrowth(calls);
const all = Object.assign({ [EMPTY_PROGRAM]: emptyProgram }, ...calls);
const measured: NodeMeasurements = {
  growth,
  moveMs: await measureMoves(all),
  ...await measureMemory(all),
  atOnce: await measureAtOnce(),
};
printMeasured(measured);
