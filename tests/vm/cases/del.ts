// What DEL does when something happens that only a real kernel has; tests/scenarios/del.ts has the rest.
import { assertEquals } from "../../support/assert.ts";
import {
  assertInPod,
  assertOnHost,
  assertQuiet,
  assertResult,
  attachment,
  readRecord,
  records,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  addPod,
  bind,
  casesWith,
  holdNetns,
  netnsPath,
  pf,
  rdmaDevices,
  reloadRdma,
  setSimParameter,
  shOk,
  startBackground,
  unbind,
  vf,
} from "../../rig/vm/guest/harness.ts";

const vmCase = casesWith({ sets: ["plugin", "newest", "oldest"] });

/** A pod that has the device of VF 0. */
async function addedPod() {
  const function_ = await addPod();
  const one = attachment(function_.deviceId);
  assertResult(await one.add());
  await assertInPod([function_.rdmaDevice]);
  return { ...function_, ...one };
}

vmCase("del: the path has gone, but an open file keeps the namespace alive", async () => {
  const pod = await addedPod();
  await startBackground(`exec 9<${netnsPath("pod")}; echo open; exec sleep infinity`, "open");
  await shOk("ip netns del pod");
  assertQuiet(await pod.del());
  assertOnHost(pod);
}, { sets: ["plugin", "newest", "oldest", "arm64"] });

vmCase("del: the path is no namespace any more", async () => {
  const pod = await addedPod();
  await holdNetns("pod");
  await shOk("umount /run/netns/pod");
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("del: the function has gone from the bus", async () => {
  const pod = await addedPod();
  const sriov = `/sys/bus/pci/devices/${pf().deviceId}/sriov`;
  await shOk(`echo 0 >${sriov}_numvfs`);
  assertQuiet(await pod.del());
  assertEquals(records(), []);
  await shOk(
    `echo 0 >${sriov}_drivers_autoprobe; echo 7 >${sriov}_numvfs; echo 1 >${sriov}_drivers_autoprobe`,
  );
});

vmCase("del: a device that takes its time returns to the host all the same", async () => {
  const pod = await addedPod();
  setSimParameter("move_delay_ms", 1500);
  assertQuiet(await pod.del());
  setSimParameter("move_delay_ms", 0);
  assertOnHost(pod);
});

vmCase("del: another function's device with the recorded index, ib_core being reloaded, stays", async () => {
  await reloadRdma();
  const { deviceId, rdmaDevice } = vf(0);
  await shOk(`rdma dev set ${rdmaDevice} name old0`);
  await addNetns("pod");
  const one = attachment(deviceId);
  assertResult(await one.add());
  const [{ index }] = readRecord("net-container1-net1")["devices"] as [{ index: number }];
  try {
    await reloadRdma(() => unbind(deviceId));
    const before = await rdmaDevices();
    assertEquals(before.find((device) => device.index === index)?.name, vf(1).rdmaDevice);
    assertQuiet(await one.del());
    assertEquals([await rdmaDevices(), records()], [before, []]);
  } finally {
    await reloadRdma(() => bind(deviceId)); // before the devices, so that all have their names again
  }
});
