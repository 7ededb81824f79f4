// Runs on the simulated node. Arguments: directory of the prepared node, compiled plugin, number of runs, empty program
// and, to compare with, another plugin.
import { INDEX_DIRECTORY } from "../../src/plugin/record/memo.ts";
import { AGENT_PLUGIN, layOut, RunningAgent } from "../rig/vm/guest/agent.ts";
import { countRdmaDevices, growNode } from "../rig/vm/guest/grow.ts";
import {
  addNetns,
  assertCode,
  attachment,
  type CniOutcome,
  config,
  installPlugin,
  netdevToNetns,
  netnsPath,
  plugin,
  prevResult,
  rebind,
  vf,
} from "../rig/vm/guest/harness.ts";
import { MemoryCgroup } from "../rig/vm/guest/memory_cgroup.ts";
import { timeWrapper } from "../support/gnu_time.ts";
import type { GrowthStep, NodeLine, NodeMeasurements } from "./node.ts";

const [, , RUNS, EMPTY, PEER] = Deno.args;
const runs = Number(RUNS);
const FEW = 8;
const STEPS = [FEW, 64, 256, 1024];
/** After so many calls the agent is as fast as it will be. */
const WARMING_CALLS = 20;
const MANY_CALLS = 500;

/** Beside the plugin: a file of the host takes longer to read. */
const EMPTY_COPY = "/opt/cni/bin/empty-program";
const PEER_COPY = "/opt/cni/bin/peer";

type Calls = Record<string, (wrapper?: string[]) => Promise<CniOutcome>>;

function print(line: NodeLine): void {
  console.log(JSON.stringify(line));
}

async function candidates(): Promise<Calls> {
  await addNetns("pod");
  await netdevToNetns(vf(1).netdev, "pod", "net2");
  rebind(vf(3).deviceId);
  const interfaces = [{ name: "net1", mac: vf(2).mac, sandbox: netnsPath("pod") }];
  const byId = attachment(vf(0).deviceId);
  const rebound = attachment(vf(3).deviceId);
  // A launcher or a program ignores its one argument, the plugin's path, which means nothing to another CNI plugin either.
  const version = (...program: string[]) => (wrapper: string[] = []) =>
    plugin({ command: "VERSION", wrapper: [...wrapper, ...program] });
  const both = (by: string, { add, del }: typeof byId, ...program: string[]): Calls => ({
    [`ADD by ${by}`]: (wrapper = []) => add({ wrapper: [...wrapper, ...program] }),
    [`DEL by ${by}`]: (wrapper = []) => del({ wrapper: [...wrapper, ...program] }),
  });
  return {
    "empty program": version(EMPTY_COPY),
    VERSION: version(),
    ...both("deviceID", byId),
    ...both("deviceID, rebound VF", rebound),
    ...both("parent", attachment("", { config: config(), ifname: "net2" })),
    ...both("MAC", attachment("", { config: config({ prevResult: prevResult({ interfaces }) }) })),
    "rebound VF, index not remembered": async () => {
      await Deno.remove(INDEX_DIRECTORY, { recursive: true });
      const outcome = await rebound.add();
      await assertCode(0, rebound.del());
      return outcome;
    },
    "VERSION by the agent": version(AGENT_PLUGIN),
    ...both("the agent", byId, AGENT_PLUGIN),
    ...(PEER === undefined ? {} : both("the peer", byId, PEER_COPY)),
  };
}

async function measureGrowth(all: Calls): Promise<GrowthStep[]> {
  const steps: GrowthStep[] = [];
  for (const wanted of STEPS) {
    print({ progress: `${wanted} RDMA devices, ${runs} runs` });
    await growNode(wanted);
    const ms: Record<string, number[]> = {};
    // The agent collects garbage some seconds after its calls, which would count for executed ones.
    for (const isAgents of [false, true]) {
      const some = Object.entries(all).filter(([name]) => name.endsWith("by the agent") === isAgents);
      for (let run = 0; run <= runs; run++) {
        for (const [name, start] of some) {
          const call = await assertCode(0, start());
          // The first run only warms the page cache.
          if (run > 0) (ms[name] ??= []).push(call.ms);
        }
      }
    }
    steps.push({ rdmaDevices: countRdmaDevices(), ms });
  }
  return steps;
}

async function measureMemory(all: Calls): Promise<Pick<NodeMeasurements, "peakKb" | "chargedKb">> {
  print({ progress: "memory" });
  const report = "/run/peak";
  const wanted = /^empty|VERSION|(ADD|DEL) by (deviceID|the agent)$/;
  const chosen = Object.entries(all).filter(([name]) => wanted.test(name));
  const peakKb: Record<string, number[]> = {};
  const chargedKb: Record<string, number[]> = {};
  // One after the other, so that an ADD never follows an ADD, nor a DEL a DEL: those do other things.
  for (let run = 0; run < runs; run++) {
    for (const [name, start] of chosen) {
      await assertCode(0, start(timeWrapper(report)));
      (peakKb[name] ??= []).push(Number(await Deno.readTextFile(report)));
    }
    for (const [name, start] of chosen) {
      await using cgroup = await MemoryCgroup.create();
      await assertCode(0, start(cgroup.wrapper()));
      (chargedKb[name] ??= []).push(cgroup.peakKb());
    }
  }
  return { peakKb, chargedKb };
}

async function callAgent(all: Calls, times: number): Promise<void> {
  for (let call = 0; call < times; call += 2) {
    for (const name of ["ADD by the agent", "DEL by the agent"]) await assertCode(0, all[name]!());
  }
}

async function measureAgent() {
  await new Promise((resolve) => setTimeout(resolve, 1000)); // it closes a connection after the launcher has ended
  return { residentMiB: agent.residentMiB(), descriptors: agent.descriptors() };
}

await installPlugin();
for (const [file, copy] of [[EMPTY, EMPTY_COPY], [PEER, PEER_COPY]] as const) {
  if (file !== undefined) await Deno.copyFile(file, copy);
}
await layOut();
const agent = await RunningAgent.start([]);
const all = await candidates();
await callAgent(all, WARMING_CALLS);
const growth = await measureGrowth(all);
await growNode(FEW);
const memory = await measureMemory(all);
print({ progress: `${MANY_CALLS} calls of the agent` });
const before = await measureAgent();
await callAgent(all, MANY_CALLS);
const { calls } = await agent.counts();
const after = await measureAgent();
const measured: NodeMeasurements = {
  growth,
  ...memory,
  agent: {
    calls,
    residentMiB: [before.residentMiB, after.residentMiB],
    descriptors: [before.descriptors, after.descriptors],
  },
};
print({ measured });
Deno.exit();
