// Runs on the simulated node. Arguments: directory of the prepared node, compiled plugin, milliseconds that its VERSION
// takes on the host.
import { AGENT_PLUGIN, layOut, RunningAgent } from "../rig/vm/guest/agent.ts";
import {
  addNetns,
  attachment,
  config,
  installPlugin,
  plugin,
  setSimParameter,
  sfs,
} from "../rig/vm/guest/harness.ts";
import { MemoryCgroup } from "../rig/vm/guest/memory_cgroup.ts";
import type { NodeLine, PodCalls, Pods } from "./node.ts";
import { Trace } from "./trace.ts";

const [, , HOST_MS] = Deno.args;
const MOVE_DELAY_MS = 100;
/** After a call of each of so many pods the agent is as fast as it will be. */
const WARMING_PODS = 10;

/** Those of thick Multus's own DaemonSet, which its daemon shares with the plugins of all pods. */
const MULTUS = { pods: 32, memoryMiB: 50, milliCpu: 100, periodMs: 100 };

/** The longest that the kernel takes (kernel/sched/core.c, max_cfs_quota_period). */
const CFS_PERIOD_LIMIT_MS = 1000;

/** Calls that take several times as long as usual may have to wait for longer than by default. */
const LOCK_TIMEOUT_MS = 3_600_000;

/** The words before the plugin's path. */
const WAYS = { executed: [], agent: [AGENT_PLUGIN] };

const pods = sfs().map(({ deviceId: deviceID }, number) => {
  const name = `pod${number}`;
  const patient = config({ deviceID, lockTimeoutMs: LOCK_TIMEOUT_MS });
  return attachment(deviceID, { netns: name, containerId: name, config: patient });
});

function print(line: NodeLine): void {
  console.log(JSON.stringify(line));
}

async function measureRow(
  command: "ADD" | "DEL",
  by: PodCalls["by"],
  some = pods,
  cgroup?: MemoryCgroup,
): Promise<PodCalls> {
  const name = `${some.length} ${command}s ${by === "agent" ? "by the agent" : "executed"}`;
  print({ progress: `${name}${cgroup ? " within thick Multus's limits" : ""}` });
  const wrapper = [...cgroup?.wrapper() ?? [], ...WAYS[by]];
  using trace = new Trace(by);
  const begin = performance.now();
  const outcomes = await Promise.all(
    some.map(({ add, del }) => command === "ADD" ? add({ wrapper }) : del({ wrapper })),
  );
  const totalMs = (performance.now() - begin) / slowness;
  const { moveMs, overtaken } = trace.read();
  return {
    name,
    by,
    isLimited: cgroup !== undefined,
    totalMs,
    worstMs: Math.max(...outcomes.map(({ ms }) => ms)) / slowness,
    failed: outcomes.filter(({ code }) => code !== 0).length,
    moveMs: moveMs.map((ms) => ms / slowness),
    overtaken,
  };
}

async function measureLimited(by: PodCalls["by"]): Promise<PodCalls> {
  const { memoryMiB, milliCpu, periodMs } = MULTUS;
  const some = pods.slice(0, MULTUS.pods);
  const period = Math.min(periodMs * slowness, CFS_PERIOD_LIMIT_MS);
  await using cgroup = await MemoryCgroup.create(memoryMiB, milliCpu, period);
  const row = await measureRow("ADD", by, some, cgroup);
  for (const { del } of some) await del({ wrapper: WAYS.agent });
  return row;
}

/** What takes so many times as long as usual here makes for slow motion. */
async function measureSlowness(hostMs: number): Promise<number> {
  const ms = [];
  for (let run = 0; run < 11; run++) ms.push((await plugin({ command: "VERSION" })).ms);
  return Math.min(...ms) / hostMs;
}

await installPlugin();
await layOut();
await RunningAgent.start([]);
for (const number of pods.keys()) await addNetns(`pod${number}`);
for (const { add, del } of pods.slice(0, WARMING_PODS)) {
  await add({ wrapper: WAYS.agent });
  await del({ wrapper: WAYS.agent });
}
const slowness = await measureSlowness(Number(HOST_MS));
const rows = [await measureLimited("agent"), await measureLimited("executed")];
setSimParameter("move_delay_ms", Math.round(MOVE_DELAY_MS * slowness));
for (const by of ["agent", "executed"] as const) {
  for (const command of ["ADD", "DEL"] as const) rows.push(await measureRow(command, by));
}
const measured: Pods = { slowness, rows };
print({ measured });
Deno.exit();
