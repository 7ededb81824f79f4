// Runs on the simulated node. Arguments: directory of the prepared node, compiled plugin, milliseconds that its VERSION
// takes on the host, divided by the number of the node's processors.
import { attachment, config } from "../rig/vm/guest/attachment.ts";
import { type CniOutcome, installPlugin, setSimParameter, sfs, shOk } from "../rig/vm/guest/harness.ts";
import { LockTrace } from "./lock_trace.ts";
import type { ManyCalls, ManyPods } from "./many_pods.ts";
import { printMeasured, say } from "./say.ts";
import { measureSlowness } from "./slowness.ts";

const [, , HOST_MS = ""] = Deno.args;
const PODS = [64, 128];
const DELAYS_MS = [0, 100, 500, 1000];
const ALONE_RUNS = 30;

/** The most: 128 moves of one second take longer than the default, and here they take several times as long. */
const LOCK_TIMEOUT_MS = 3_600_000;

type Pod = ReturnType<typeof attachment>;

const pods = sfs().map(({ deviceId: deviceID }, number): Pod => {
  const name = `pod${number}`;
  const patient = config({ deviceID, lockTimeoutMs: LOCK_TIMEOUT_MS });
  return attachment(deviceID, { netns: name, containerId: name, config: patient });
});

async function measureRow(command: ManyCalls["command"], some: Pod[], delayMs: number): Promise<ManyCalls> {
  setSimParameter("move_delay_ms", Math.round(delayMs * slowness));
  using trace = LockTrace.start();
  const begin = performance.now();
  const outcomes = await Promise.all(some.map(({ add, del }) => command === "ADD" ? add() : del()));
  const totalMs = (performance.now() - begin) / slowness;
  const failed = outcomes.filter(isFailure).length;
  const traced = trace.read(slowness);
  if (traced.moveMs.length !== some.length - failed) {
    throw new Error(`${command}: the trace shows ${traced.moveMs.length} moves of ${some.length} calls`);
  }
  const worstMs = Math.max(...outcomes.map(({ ms }) => ms)) / slowness;
  return { command, pods: some.length, delayMs, totalMs, worstMs, failed, ...traced };
}

function isFailure({ code, stdout, stderr }: CniOutcome): boolean {
  if (code !== 0) say(`exit code ${code}: ${stdout}${stderr}`);
  return code !== 0;
}

/** All ADDs, then all DELs. */
async function measurePods(some: Pod[], delayMs: number): Promise<ManyCalls[]> {
  const add = await measureRow("ADD", some, delayMs);
  return [add, await measureRow("DEL", some, delayMs)];
}

await installPlugin();
await shOk(`for number in $(seq 0 ${pods.length - 1}); do ip netns add pod$number; done`);
const slowness = await measureSlowness(Number(HOST_MS));
const measured: ManyPods = { slowness, alone: [], rows: [] };
say(`one pod alone, ${ALONE_RUNS} runs`);
for (let run = 0; run <= ALONE_RUNS; run++) {
  const calls = await measurePods(pods.slice(0, 1), 0);
  // The first run only warms the page cache.
  if (run > 0) measured.alone.push(...calls);
}
for (const number of PODS) {
  for (const delayMs of DELAYS_MS) {
    say(`${number} pods at once, moves that take ${delayMs} ms longer`);
    measured.rows.push(...await measurePods(pods.slice(0, number), delayMs));
  }
}
printMeasured(measured);
