// Calls that come late, or while another one about the same function is at work.
import { assertEquals } from "../../support/assert.ts";
import {
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  gc,
  records,
  startInMove,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  addPod,
  deleteNetns,
  rdmaNames,
  rebind,
  shOk,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

const FILE = "net-container1-net1";

/** Starts a call, lets something be done while the kernel moves its device, and tells how the call ended. */
async function during<T>(
  command: "ADD" | "DEL",
  deviceId: string,
  work: () => Promise<T>,
): Promise<{ code: number; work: T }> {
  const call = await startInMove(command, deviceId);
  const [{ code }, outcome] = await Promise.all([call.status, work()]);
  return { code, work: outcome };
}

vmCase("faults: DEL while ADD is at work waits for it and restores the device", async () => {
  const { deviceId } = await addPod();
  const { code, work: deleted } = await during("ADD", deviceId, () => attachment(deviceId).del());
  assertEquals(code, 0);
  assertQuiet(deleted);
  assertNothingLeft();
});

vmCase("faults: GC while ADD is at work takes what it does only if it is not listed", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const valid = { "cni.dev/valid-attachments": [{ containerID: "container1", ifname: "net1" }] };
  const kept = await during("ADD", deviceId, () => gc(valid));
  assertEquals(kept.code, 0);
  assertQuiet(kept.work);
  await assertInPod([rdmaDevice]);
  assertEquals(records(), [FILE]);
  assertQuiet(await attachment(deviceId).del());

  const taken = await during("ADD", deviceId, () => gc({ "cni.dev/valid-attachments": [] }));
  assertEquals(taken.code, 0);
  assertQuiet(taken.work);
  assertNothingLeft();
});

vmCase("faults: two ADDs of the same attachment at once both succeed, and one DEL undoes them", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const { code, work: second } = await during("ADD", deviceId, () => attachment(deviceId).add());
  assertEquals(code, 0);
  assertResult(second);
  await assertInPod([rdmaDevice]);
  assertEquals(records(), [FILE]);
  assertQuiet(await attachment(deviceId).del());
  assertNothingLeft();
});

vmCase("faults: the next pod's ADD while the last one's DEL is at work gets the device", async () => {
  await addNetns("pod");
  await addNetns("next");
  const { deviceId, rdmaDevice } = vf(0);
  assertResult(await attachment(deviceId).add());
  const next = attachment(deviceId, { netns: "next", containerId: "container2" });
  const { code, work: added } = await during("DEL", deviceId, () => next.add());
  assertEquals(code, 0);
  assertResult(added);
  await assertInPod([rdmaDevice], "next");
  assertEquals(records(), ["net-container2-net1"]);
});

vmCase("faults: late DELs of an old pod leave alone the new one at the same path", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const old = attachment(deviceId);
  assertResult(await old.add());
  await deleteNetns("pod");
  await addNetns("pod");
  const fresh = attachment(deviceId, { containerId: "container2" });
  assertResult(await fresh.add());
  for (const when of ["first", "again, without a record"]) {
    assertQuiet(await old.del());
    await assertInPod([rdmaDevice]);
    assertEquals(records(), ["net-container2-net1"], when);
  }
  assertQuiet(await fresh.check({ config: config({ deviceID: deviceId, prevResult: {} }) }));
  assertQuiet(await fresh.del());
  assertNothingLeft();
});

vmCase("faults: the pod's path goes while ADD is at work: DEL leaves nothing", async () => {
  const { deviceId } = await addPod();
  await during("ADD", deviceId, () => shOk("ip netns del pod"));
  assertQuiet(await attachment(deviceId).del());
  assertNothingLeft();
});

vmCase("faults: the driver is rebound while ADD is at work: DEL leaves nothing, and ADD works", async () => {
  const { deviceId } = await addPod();
  await during("ADD", deviceId, () => Promise.resolve(rebind(deviceId)));
  assertQuiet(await attachment(deviceId).del());
  assertNothingLeft();
  assertResult(await attachment(deviceId).add());
  await assertInPod([(await rdmaNames("pod"))[0]!]);
});
