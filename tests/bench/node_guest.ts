// Runs on the simulated node. Arguments: directory of the prepared node, compiled plugin, number of runs, empty program
// and, to compare with, another plugin.
import { INDEX_DIRECTORY } from "../../src/plugin/record/memo.ts";
import { attachment, config, prevResult } from "../rig/vm/guest/attachment.ts";
import { countRdmaDevices, growNode } from "../rig/vm/guest/grow.ts";
import {
  addNetns,
  type CniOutcome,
  installPlugin,
  names,
  netdevToNetns,
  netnsPath,
  plugin,
  rebind,
  vf,
} from "../rig/vm/guest/harness.ts";
import { MemoryCgroup } from "../rig/vm/guest/memory_cgroup.ts";
import { timeWrapper } from "../support/gnu_time.ts";
import { countCalls, LAUNCHER, type RunningAgent, startAgent, WARMING_CALLS } from "./agent.ts";
import type { AgentGrowth, GrowthStep, NodeMeasurements } from "./node.ts";
import { printMeasured, say } from "./say.ts";

const [, , RUNS = "", EMPTY = "", PEER] = Deno.args;
const runs = Number(RUNS);
const FEW = 8;
const STEPS = [FEW, 64, 256, 1024];
const MANY_CALLS = 500;

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
  // The launcher ignores its one argument, the plugin's path, which means nothing to another CNI plugin either.
  calls["VERSION by the agent"] = (wrapper = []) =>
    plugin({ command: "VERSION", wrapper: [...wrapper, LAUNCHER] });
  calls["ADD by the agent"] = (wrapper = []) => byId.add({ wrapper: [...wrapper, LAUNCHER] });
  calls["DEL by the agent"] = (wrapper = []) => byId.del({ wrapper: [...wrapper, LAUNCHER] });
  if (PEER !== undefined) {
    calls["peer's ADD by deviceID"] = (wrapper = []) => byId.add({ wrapper: [...wrapper, PEER_COPY] });
    calls["peer's DEL by deviceID"] = (wrapper = []) => byId.del({ wrapper: [...wrapper, PEER_COPY] });
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

async function measureMemory(all: Calls): Promise<Pick<NodeMeasurements, "peakKb" | "chargedKb">> {
  say("memory");
  const report = "/run/peak";
  const wanted = /program|VERSION|(ADD|DEL) by (deviceID|the agent)$/;
  const none = () =>
    Object.fromEntries(Object.keys(all).filter((name) => wanted.test(name)).map((name) => [name, []]));
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

/** Of the agent itself, which is warm by now. */
async function measureAgent(agent: RunningAgent, all: Calls): Promise<AgentGrowth> {
  say(`${MANY_CALLS} calls of the agent`);
  const before = [agent.residentKb(), agent.descriptors()] as const;
  for (let call = 0; call < MANY_CALLS; call += 2) {
    for (const name of ["ADD by the agent", "DEL by the agent"]) await succeed(name, all[name]!);
  }
  return {
    calls: await countCalls(),
    residentKb: [before[0], agent.residentKb()],
    descriptors: [before[1], agent.descriptors()],
  };
}

await installPlugin();
for (const [file, copy] of [[EMPTY, EMPTY_COPY], [PEER, PEER_COPY]] as const) {
  if (file !== undefined) await Deno.copyFile(file, copy);
}
await using agent = await startAgent();
const all = await candidates();
for (let call = 0; call < WARMING_CALLS; call += 2) {
  for (const name of ["ADD by the agent", "DEL by the agent"]) await succeed(name, all[name]!);
}
const growth = await measureGrowth(all);
await growNode(FEW);
const measured: NodeMeasurements = {
  growth,
  ...await measureMemory(all),
  agent: await measureAgent(agent, all),
};
printMeasured(measured);
