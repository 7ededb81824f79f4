// Runs on the simulated node. Arguments: folder of the prepared node, compiled plugin, empty program, number of runs
// and, to compare with, another plugin. Prints what it does and, at the end, what it measured: see NodeLine.
import { attachment, config, prevResult } from "../vm/guest/attachment.ts";
import { growNode } from "../vm/guest/grow.ts";
import {
  addNetns,
  type CniOutcome,
  deleteNetns,
  installPlugin,
  names,
  netdevToNetns,
  netnsPath,
  plugin,
  rdmaDevices,
  rebind,
  sfs,
  shOk,
  vf,
} from "../vm/guest/harness.ts";
import { timeWrapper } from "./gnu_time.ts";
import type { AtOnce, GrowthStep, NodeLine, NodeMeasurements } from "./node.ts";

const [, , EMPTY = "", RUNS = "", PEER] = Deno.args;
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
const AT_ONCE = { calls: 32, rounds: 3 };
const MEMORY_RUNS = 10;

type Start = (wrapper?: string[]) => Promise<CniOutcome>;
type Candidates = Record<string, Start>;

/** In the order in which they are started: ADD and DEL belong together. */
async function candidates(): Promise<Candidates> {
  // All of them beside the plugin: a file of the host takes longer to read.
  const empty = await install(EMPTY);
  const peer = PEER === undefined ? undefined : await install(PEER);
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
  const all: Candidates = {
    "empty program": (wrapper = []) => plugin({ command: "VERSION", wrapper: [...wrapper, empty] }),
    VERSION: (wrapper = []) => plugin({ command: "VERSION", wrapper }),
  };
  for (const [way, { add, del }] of Object.entries(ways)) {
    all[`ADD by ${way}`] = start(add);
    all[`DEL by ${way}`] = start(del);
  }
  if (peer !== undefined) {
    // Its one argument, the plugin's path, means nothing to a CNI plugin.
    all["peer's ADD by deviceID"] = () => byId.add({ wrapper: [peer] });
    all["peer's DEL by deviceID"] = () => byId.del({ wrapper: [peer] });
  }
  return all;
}

async function install(executable: string): Promise<string> {
  const installed = `/opt/cni/bin/${executable.split("/").at(-1)}.bench`;
  await Deno.copyFile(executable, installed);
  return installed;
}

async function succeed(name: string, start: Start, wrapper?: string[]): Promise<CniOutcome> {
  const outcome = await start(wrapper);
  const { code, stdout, stderr } = outcome;
  if (code !== 0) throw new Error(`${name} exited with ${code}: ${stdout}${stderr}`);
  return outcome;
}

/**
 * What ran last is still in the processor's caches, and in those of its emulator. So each call follows the empty
 * program, and the empty program each call in turn.
 */
async function measureGrowth(all: Candidates): Promise<GrowthStep[]> {
  const [empty, ...calls] = Object.entries(all);
  const inTurn = calls.flatMap((call) => [empty!, call]);
  const steps = new Map<number, GrowthStep>();
  for (const [wanted, rounds] of STEPS) {
    say(`${wanted} RDMA devices, ${rounds} runs`);
    await growNode(wanted);
    const rdma = (await rdmaDevices()).length;
    const step = steps.get(rdma) ?? { rdmaDevices: rdma, links: names("/sys/class/net").length, ms: {} };
    steps.set(rdma, step);
    for (let round = 0; round <= rounds; round++) {
      for (const [name, start] of inTurn) {
        const { ms } = await succeed(name, start);
        // The first round only warms the page cache.
        if (round > 0) (step.ms[name] ??= []).push(ms);
      }
    }
  }
  return [...steps.values()];
}

const MOVE = "ADD by deviceID";
const MOVE_HOME = "DEL by deviceID";

/** With a filter in the kernel, so that all other calls run at full speed. */
const STRACE = ["strace", "-f", "--seccomp-bpf", "-T", "-e", "trace=sendto"];

/** The order to move a device is RDMA_NLDEV_CMD_SET (2) of RDMA_NL_NLDEV (5): 5 << 10 | 2. */
const SET_ORDER = /nlmsg_type=0x1402\b.*<([\d.]+)>$/m;

async function measureMoves(all: Candidates): Promise<Record<string, number[]>> {
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

async function measureMemory(all: Candidates): Promise<Record<string, number[]>> {
  say("memory");
  const report = "/run/peak";
  const peaks: Record<string, number[]> = { "empty program": [], VERSION: [], [MOVE]: [], [MOVE_HOME]: [] };
  for (let run = 0; run < MEMORY_RUNS; run++) {
    for (const [name, kb] of Object.entries(peaks)) {
      await succeed(name, all[name]!, timeWrapper(report));
      kb.push(Number(await Deno.readTextFile(report)));
    }
  }
  return peaks;
}

/** Calls of as many pods as there are scalable functions, against as many empty programs. */
async function measureAtOnce(empty: Start): Promise<AtOnce[]> {
  const { calls, rounds } = AT_ONCE;
  say(`${calls} calls at once`);
  await deleteNetns("pod");
  await shOk(`rmmod rdma_sim && modprobe --dirname "$MODULES" rdma_sim sf_count=${calls}`);
  const pods: ReturnType<typeof attachment>[] = [];
  for (const [number, { deviceId }] of sfs().entries()) {
    await addNetns(`pod${number}`);
    pods.push(attachment(deviceId, { netns: `pod${number}`, containerId: `pod${number}` }));
  }
  const all: Record<string, Start[]> = {
    "empty program": pods.map(() => empty),
    ADD: pods.map(({ add }) => () => add()),
    DEL: pods.map(({ del }) => () => del()),
  };
  const results = Object.keys(all).map((name): AtOnce => ({
    name,
    calls,
    totalMs: [],
    worstMs: [],
    failed: 0,
  }));
  for (let round = 0; round < rounds; round++) {
    for (const result of results) {
      const begin = performance.now();
      const outcomes = await Promise.all(all[result.name]!.map((start) => start()));
      result.totalMs.push(performance.now() - begin);
      result.worstMs.push(Math.max(...outcomes.map(({ ms }) => ms)));
      result.failed += outcomes.filter(({ code }) => code !== 0).length;
    }
    // A DEL may have given up waiting for the lock, as the runtime would try again.
    for (const { del } of pods) await succeed("DEL", () => del());
  }
  return results;
}

function say(progress: string): void {
  print({ progress });
}

function print(line: NodeLine): void {
  console.log(JSON.stringify(line));
}

await installPlugin();
const all = await candidates();
const measured: NodeMeasurements = {
  growth: await measureGrowth(all),
  moveMs: await measureMoves(all),
  peakKb: await measureMemory(all),
  atOnce: await measureAtOnce(all["empty program"]!),
};
print({ measured });
