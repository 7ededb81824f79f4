// Which devices of a function are moved, and pods that go without.
import assert from "node:assert/strict";
import {
  again,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  prevResult,
  records,
} from "../../rig/vm/guest/attachment.ts";
import { addNetns, rebind, setNetnsMode, setSimParameter, vf, vmCase } from "../../rig/vm/guest/harness.ts";

/** An attachment of a VF with keys of the configuration of its own. */
function attachmentWith(deviceId: string, more: Record<string, unknown>) {
  return attachment(deviceId, { config: config({ deviceID: deviceId, cniVersion: "1.1.0", ...more }) });
}

vmCase("selection: rdmaDevices chooses among the devices of a function", async () => {
  await addNetns("pod");
  const { deviceId } = vf(2);
  setSimParameter("devices_per_function", 3);
  rebind(deviceId);
  const all = again({ deviceId }).rdmaDevices;
  const selections: [unknown, (string | undefined)[]][] = [
    ["first", [all[0]]],
    [[3], [all[2]]],
    [[all[1], 1], [all[0], all[1]]],
    ["all", all],
  ];
  for (const [rdmaDevices, moved] of selections) {
    const call = attachmentWith(deviceId, { rdmaDevices, prevResult: prevResult({ interfaces: [] }) });
    assertResult(await call.add());
    await assertInPod(moved as string[]);
    assertQuiet(await call.check());
    assertQuiet(await call.del());
    assert.deepEqual(again({ deviceId }).rdmaDevices, all);
    assertNothingLeft();
  }
  assertError(await attachmentWith(deviceId, { rdmaDevices: [4] }).add(), 110, /device 4 among .*1: .*3: /);
  await assertInPod([]);
  assertNothingLeft();
});

vmCase(
  "selection: an optional device that the driver does not make is passed over with a warning",
  async () => {
    await addNetns("pod");
    const { deviceId } = vf(1);
    setSimParameter("no_rdma", true);
    rebind(deviceId);
    assertError(await attachmentWith(deviceId, {}).add(), 110, /has made no RDMA device/);
    const call = attachmentWith(deviceId, { optional: true, prevResult: prevResult({ interfaces: [] }) });
    const added = await call.add();
    assertResult(added);
    assert.match(added.stderr, /level="warning".*gets no RDMA device.*has made no RDMA device/);
    assert.deepEqual(records(), []);
    assertQuiet(await call.check());
    assertQuiet(await call.del());
  },
);

vmCase("selection: in mode shared a pod goes without when the configuration says so", async () => {
  await setNetnsMode("shared");
  await addNetns("pod");
  const { deviceId } = vf(1);
  assertError(await attachmentWith(deviceId, {}).add(), 101, /mode shared/);
  const prev = prevResult({ interfaces: [] });
  const call = attachmentWith(deviceId, { onSharedMode: "skip", prevResult: prev });
  const added = await call.add();
  assertResult(added);
  assert.match(added.stderr, /level="warning".*goes without.*mode shared/);
  assertQuiet(await call.check());
  assertQuiet(await call.del());
  assert.deepEqual(records(), []);
});

vmCase("selection: the trace of a call is in its log and its error", async () => {
  await addNetns("pod");
  const environment = { TRACEPARENT: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" };
  const { deviceId } = vf(0);
  const added = await attachment(deviceId).add({ environment });
  assertResult(added);
  assert.match(added.stderr, /moved to .*traceID="4bf92f3577b34da6a3ce929d0e0e4736"$/m);
  const refused = await attachment(deviceId).add({ environment, containerId: "container2" });
  assertError(refused, 111, /; trace 4bf92f3577b34da6a3ce929d0e0e4736$/);
  assertQuiet(await attachment(deviceId).del());
});
