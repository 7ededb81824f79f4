// Runs on the simulated node. Arguments: directory of the prepared node, compiled plugin, number of runs, empty program
// and, to compare with, another plugin.
import { INDEX_DIRECTORY } from "../../src/plugin/record/memo.ts";
import { attachment, config, prevResult } from "../rig/vm/guest/attachment.ts";
import { countRdmaDevices, growNode } from "../rig/vm/guest/grow.ts";
import {
  addNetns,
  type CniOutcome,
  deleteNetns,
  installPlugin,
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
import { timeWrapper } from "../support/gnu_time.ts";
import { LockTrace } from "./lock_trace.ts";
import type { AtOnce, GrowthStep, NodeMeasurements } from "./node.ts";
import { printMeasured, say } from "./say.ts";

const [, , RUNS = "", EMPTY = "", PEER] = Deno.args;
const runs = Number(RUNS);
const FEW = 8;
const STEPS = [FEW, 64, 256, 1024];
const CALLS_AT_ONCE = 32;
/** Few: each takes 20 seconds. */
const RUNS_AT_ONCE = 3;

/** Beside the plugin: a file of the host takes longer to read. */
const EMPTY_COPY = "/opt/cni/bin/empty-program";
const PEER_COPY = "/opt/cni/bin/peer";

const EMPTY_PROGRAM = "empty program";

type Start = (wrapper?: string[]) => Promise<CniOutcome>;
type Calls = Record<string, Start>;

const emptyProgram: Start = (wrapper = []) =>
  plugin({ command: "VERSION", wrapper: [...wrapper, EMPTY_COPY] });

/** The empty program, VERSION, and each way of ADD and DEL. */
async function candidates(): Promise<Calls> {
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
  const calls: Calls = {
    [EMPTY_PROGRAM]: emptyProgram,
    VERSION: (wrapper = []) => plugin({ command: "VERSION", wrapper }),
  };
  for (const [way, { add, del }] of Object.entries(ways)) {
    calls[`ADD by ${way}`] = (wrapper = []) => add({ wrapper });
    calls[`DEL by ${way}`] = (wrapper = []) => del({ wrapper });
  }
  const rebound = ways["deviceID, rebound VF"];
  calls["rebound VF, index not remembered"] = async () => {
    await Deno.remove(INDEX_DIRECTORY, { recursive: true });
    const outcome = await rebound.add();
    await succeed("DEL", () => rebound.del());
    return outcome;
  };
  if (PEER !== undefined) {
    // Its one argument, the plugin's path, means nothing to a CNI plugin.
    calls["peer's ADD by deviceID"] = () => byId.add({ wrapper: [PEER_COPY] });
    calls["peer's DEL by deviceID"] = () => byId.del({ wrapper: [PEER_COPY] });
  }
  return calls;
}

async function succeed(name: string, start: Start, wrapper?: string[]): Promise<CniOutcome> {
  const outcome = await start(wrapper);
  const { code, stdout, stderr } = outcome;
  if (code !== 0) throw new Error(`${name} exited with ${code}: ${stdout}${stderr}`);
  return outcome;
}

async function measureGrowth(all: Calls): Promise<GrowthStep[]> {
  const steps: GrowthStep[] = [];
  for (const wanted of STEPS) {
    say(`${wanted} RDMA devices, ${runs} runs`);
    await growNode(wanted);
    const ms: Record<string, number[]> = {};
    for (let run = 0; run <= runs; run++) {
      for (const [name, start] of Object.entries(all)) {
        const call = await succeed(name, start);
        // The first run only warms the page cache.
        if (run > 0) (ms[name] ??= []).push(call.ms);
      }
    }
    steps.push({ rdmaDevices: countRdmaDevices(), links: names("/sys/class/net").length, ms });
  }
  return steps;
}

const MOVE = "ADD by deviceID";
const MOVE_HOME = "DEL by deviceID";

async function measureMoves(all: Calls): Promise<Record<string, number[]>> {
  say("the kernel's own time in a move");
  const moves: Record<string, number[]> = { [MOVE]: [], [MOVE_HOME]: [] };
  for (let run = 0; run < runs; run++) {
    for (const [name, ms] of Object.entries(moves)) {
      using trace = LockTrace.start();
      await succeed(name, all[name]!);
      ms.push(...trace.read().moveMs);
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
  // One after the other, so that an ADD never follows an ADD, nor a DEL a DEL: those do other things.
  for (let run = 0; run < runs; run++) {
    for (const [name, kb] of Object.entries(peakKb)) {
      await succeed(name, all[name]!, timeWrapper(report));
      kb.push(Number(await Deno.readTextFile(report)));
    }
    for (const [name, kb] of Object.entries(chargedKb)) {
      await using cgroup = await MemoryCgroup.create();
      await succeed(name, all[name]!, cgroup.wrapper());
      kb.push(cgroup.peakKb());
    }
  }
  return { peakKb, chargedKb };
}

/** Calls of as many pods as there are scalable functions, against as many empty programs. */
async function measureAtOnce(): Promise<AtOnce[]> {
  say(`${CALLS_AT_ONCE} calls at once, ${RUNS_AT_ONCE} runs`);
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
  for (let run = 0; run < RUNS_AT_ONCE; run++) {
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

await installPlugin();
for (const [file, copy] of [[EMPTY, EMPTY_COPY], [PEER, PEER_COPY]] as const) {
  if (file !== undefined) await Deno.copyFile(file, copy);
}
const all = await candidates();
const growth = await measureGrowth(all);
await growNode(FEW);
const measured: NodeMeasurements = {
  growth,
  moveMs: await measureMoves(all),
  ...await measureMemory(all),
  atOnce: await measureAtOnce(),
};
printMeasured(measured);
