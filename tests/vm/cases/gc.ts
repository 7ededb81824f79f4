// GC Restores and removes what this network has left, and nothing else.
import assert from "node:assert/strict";
import {
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  gc,
  records,
  writeRecord,
} from "../../rig/vm/guest/attachment.ts";
import { addNetns, holdNetns, rdmaNames, rdmaToNetns, shOk, vf, vmCase } from "../../rig/vm/guest/harness.ts";

const HEX = "0123456789abcdef".repeat(4);

async function addTo(netns: string, vfNumber: number, name = "net") {
  await addNetns(netns);
  const { deviceId, rdmaDevice } = vf(vfNumber);
  const call = { netns, containerId: netns, config: config({ name, deviceID: deviceId }) };
  assertResult(await attachment(deviceId, call).add());
  return rdmaDevice;
}

vmCase("gc: stale attachments of this network go, valid ones and other networks' stay", async () => {
  const stale = await addTo("stale", 0);
  const valid = await addTo("valid", 1);
  const other = await addTo("other", 2, "net-2");
  writeRecord(".net-crashed-net1.tmp", "half a rec");
  assertQuiet(await gc({ "cni.dev/valid-attachments": [{ containerID: "valid", ifname: "net1" }] }));
  assert.ok((await rdmaNames()).includes(stale));
  await assertInPod([], "stale");
  await assertInPod([valid], "valid");
  await assertInPod([other], "other");
  assert.deepEqual(records(), ["net-2-other-net1", "net-valid-net1"]);
});

vmCase("gc: the older key is understood, an empty list means all, a missing one none", async () => {
  await addTo("pod", 0);
  const missing = await gc({});
  assertQuiet(missing);
  assert.match(missing.stderr, /nothing is collected/);
  assertQuiet(await gc({ "cni.dev/attachments": [{ containerID: "pod", ifname: "net1" }] }));
  assert.deepEqual(records(), ["net-pod-net1"]);
  assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
  assertNothingLeft();
});

vmCase("gc: a namespace that lives on without path is found", async () => {
  const device = await addTo("pod", 0);
  await holdNetns("pod");
  await shOk("ip netns del pod");
  assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
  assertNothingLeft();
  assert.ok((await rdmaNames()).includes(device));
});

vmCase("gc: records of the Go plugin and unreadable ones are told by their file's name", async () => {
  const { deviceId, rdmaDevice } = vf(0);
  await addNetns("pod");
  await rdmaToNetns(rdmaDevice, "pod");
  const record = {
    version: "1.0",
    deviceID: deviceId,
    sandboxRdmaDevName: rdmaDevice,
    containerRdmaDevName: rdmaDevice,
  };
  writeRecord(`net-${HEX}-net1`, record);
  writeRecord(`net-${HEX}-net2`, "broken");
  writeRecord(`net-2-${HEX}-net1`, record);
  writeRecord("net-short-net1", { ...record, deviceID: "0000:7f:00.0" });
  assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
  // Which network the two others are of cannot be told, or is another one.
  assert.deepEqual(records(), [`net-2-${HEX}-net1`, "net-short-net1"]);
  await assertInPod([rdmaDevice]); // the other network's record claims it
});

vmCase("gc: a failure does not keep it from the rest, and is reported", async () => {
  await addTo("one", 0);
  await addTo("two", 1);
  const wrapper = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
  const collected = await gc({ "cni.dev/valid-attachments": [] }, { wrapper });
  assertError(collected, 120, /Cannot collect 2 attachments.*net-one-net1: .*net-two-net1: /);
  assert.deepEqual(records(), ["net-one-net1", "net-two-net1"]);
  assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
  assertNothingLeft();
});
