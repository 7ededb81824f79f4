// What one ADD asks of the kernel on a node with few and with many devices, as strace counts it: no time is measured.
import { assert } from "../../support/assert.ts";
import {
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  prevResult,
} from "../../rig/vm/guest/attachment.ts";
import { growNode } from "../../rig/vm/guest/grow.ts";
import {
  addNetns,
  netdevToNetns,
  netnsPath,
  type PluginCall,
  rdmaDevices,
  rebind,
  sf,
  shOk,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

const MANY = 256;
const TRACE = "/run/trace";
/** The garbage collector and the numbers in what is read make this much difference between two runs. */
const NOISE = { calls: 30, bytes: 200 };

interface Work {
  /** System calls. */
  calls: number;
  /** Read from files, directories and sockets. */
  bytes: number;
}

/** Counts the work of one ADD, which must succeed, and undoes it. */
async function countAdd(call: Partial<PluginCall>): Promise<Work> {
  const one = attachment("", call);
  assertResult(await one.add({ wrapper: ["strace", "-f", "-o", TRACE] }));
  assertQuiet(await one.del());
  const calls = Deno.readTextFileSync(TRACE).split("\n").filter((line) => /^\d+ +\w+\(/.test(line));
  const read = calls.map((line) => / +(read|pread64|recvfrom|getdents64)\(.* = (\d+)$/.exec(line)?.[2] ?? 0);
  return { calls: calls.length, bytes: read.reduce<number>((sum, bytes) => sum + Number(bytes), 0) };
}

function assertAtMost(found: Work, limit: Work): void {
  const isWithin = found.calls <= limit.calls + NOISE.calls && found.bytes <= limit.bytes + NOISE.bytes;
  assert(isWithin, `${JSON.stringify(found)} more, wanted at most ${JSON.stringify(limit)}`);
}

/** Whether an RDMA device has as its index the number of its uverbs device. */
async function hasIndexOfUverbs(rdmaDevice: string): Promise<boolean> {
  const index = (await rdmaDevices()).find(({ name }) => name === rdmaDevice)?.index;
  const file = await shOk(`grep -lx ${rdmaDevice} /sys/class/infiniband_verbs/uverbs*/ibdev`);
  return file.includes(`/uverbs${index}/`);
}

async function assertAsAfterBoot(rdmaDevice: string): Promise<void> {
  assert(await hasIndexOfUverbs(rdmaDevice), `${rdmaDevice} does not have the index of its uverbs device`);
}

/** How much more one ADD takes once the node has many devices and links. */
async function measureGrowth(call: Partial<PluginCall>) {
  const few = await countAdd(call);
  await growNode(MANY);
  const many = await countAdd(call);
  assertNothingLeft();
  return { few, more: { calls: many.calls - few.calls, bytes: many.bytes - few.bytes } };
}

vmCase("scale: ADD by deviceID asks no more of a kernel with more devices and links", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = sf(0);
  await assertAsAfterBoot(rdmaDevice);
  const { more } = await measureGrowth({ config: config({ deviceID: deviceId }) });
  assertAtMost(more, { calls: 0, bytes: 0 });
  return more;
}, { needs: "auxiliaryBus" });

vmCase("scale: ADD by the interface's parent asks no more either", async () => {
  await addNetns("pod");
  const { netdev, rdmaDevice } = sf(1);
  await assertAsAfterBoot(rdmaDevice);
  await netdevToNetns(netdev, "pod", "net1");
  const { more } = await measureGrowth({ config: config() });
  assertAtMost(more, { calls: 0, bytes: 0 });
  return more;
}, { needs: "auxiliaryBus" });

vmCase("scale: ADD by MAC address asks no more either", async () => {
  await addNetns("pod");
  rebind(vf(0).deviceId); // whether it was bound before or not, its index is another than its uverbs number now
  await countAdd({ config: config({ deviceID: vf(0).deviceId }) }); // and remembered
  const interfaces = [{ name: "net1", mac: vf(0).mac, sandbox: netnsPath("pod") }];
  const { more } = await measureGrowth({ config: config({ prevResult: prevResult({ interfaces }) }) });
  assertAtMost(more, { calls: 0, bytes: 0 });
  return more;
});

vmCase("scale: a device whose index is not its uverbs number costs one dump, and then no more", async () => {
  await addNetns("pod");
  rebind(vf(1).deviceId);
  const { deviceId, rdmaDevice } = vf(1);
  assert(!await hasIndexOfUverbs(rdmaDevice), "a new bind gives a new index");
  const call = { config: config({ deviceID: deviceId }) };
  const first = await countAdd(call);
  const { more, few } = await measureGrowth(call);
  assert(few.bytes < first.bytes, `the first ADD read ${first.bytes} bytes, the second ${few.bytes}`);
  assertAtMost(more, { calls: 0, bytes: 0 });
  assertResult(await attachment(deviceId).add());
  await assertInPod([rdmaDevice]);
  return { first, few, more };
});
