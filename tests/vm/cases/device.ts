// How the plugin finds out which RDMA devices an attachment means.
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
  readRecord,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  type CniOutcome,
  holdContext,
  netdevToNetns,
  netnsPath,
  pf,
  plugin,
  rdmaDevices,
  rebind,
  setSimParameter,
  sf,
  shOk,
  unbind,
  vf,
  vfs,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

const ABSENT = "0000:7f:1f.7";

async function addWith(more: Record<string, unknown>): Promise<CniOutcome> {
  await addNetns("pod");
  return await plugin({ command: "ADD", netns: "pod", config: config({ cniVersion: "1.1.0", ...more }) });
}

function podInterface(more: Record<string, unknown>): Record<string, unknown> {
  return { name: "net1", sandbox: netnsPath("pod"), ...more };
}

vmCase("device: runtimeConfig.deviceID comes before deviceID", async () => {
  assertResult(await addWith({ runtimeConfig: { deviceID: vf(1).deviceId }, deviceID: ABSENT }));
  assert.equal(readRecord("net-container1-net1")["deviceID"], vfs()[1]!.deviceId);
});

vmCase("device: deviceID comes before the result's pciID", async () => {
  const interfaces = [podInterface({ pciID: ABSENT })];
  const { rdmaDevice, deviceId } = vf(1);
  assertResult(await addWith({ deviceID: deviceId, prevResult: prevResult({ interfaces }) }));
  await assertInPod([rdmaDevice]);
});

vmCase("device: pciID of the interface in the pod is used, not another's", async () => {
  const { rdmaDevice, deviceId } = vf(2);
  const interfaces = [
    { name: "net1", pciID: ABSENT },
    podInterface({ name: "net2", pciID: ABSENT }),
    podInterface({ pciID: deviceId }),
  ];
  assertResult(await addWith({ prevResult: prevResult({ interfaces }) }));
  await assertInPod([rdmaDevice]);
});

vmCase("device: the parent of the interface in the pod is used", async () => {
  const { netdev, rdmaDevice } = vf(3);
  await addNetns("pod");
  await netdevToNetns(netdev, "pod", "net1");
  assertResult(await plugin({ command: "ADD", netns: "pod", config: config({ prevResult: prevResult() }) }));
  await assertInPod([rdmaDevice]);
});

vmCase("device: the parent of a scalable function's interface is used", async () => {
  const { netdev, rdmaDevice, deviceId } = sf(0);
  await addNetns("pod");
  await netdevToNetns(netdev, "pod", "net1");
  assertResult(await plugin({ command: "ADD", netns: "pod", config: config() }));
  await assertInPod([rdmaDevice]);
  assert.equal(readRecord("net-container1-net1")["deviceID"], deviceId);
  assertQuiet(await plugin({ command: "DEL", netns: "pod", config: config() }));
  // The rig returns the interface by ending the namespace.
});

vmCase(
  "device: the administrative address is used, in any case and among any number of interfaces",
  async () => {
    const { mac, rdmaDevice } = vf(4);
    const interfaces = [
      { name: "cni0", mac: "02:aa:00:00:00:01" },
      { name: "veth1", mac: vf(0).mac },
      podInterface({ mac: mac.toUpperCase() }),
      podInterface({ name: "lo", mac: "00:00:00:00:00:00" }),
    ];
    assertResult(await addWith({ prevResult: prevResult({ interfaces }) }));
    await assertInPod([rdmaDevice]);
  },
);

vmCase("device: an address that two VFs have is refused", async () => {
  await shOk(`ip link set ${pf().netdev} vf 5 mac ${vf(6).mac}`);
  const interfaces = [podInterface({ mac: vf(6).mac })];
  assertError(await addWith({ prevResult: prevResult({ interfaces }) }), 110, /VF 5 of .*VF 6 of /);
  await shOk(`ip link set ${pf().netdev} vf 5 mac ${vf(5).mac}`);
  assertNothingLeft();
});

vmCase("device: nothing that tells the device is refused", async () => {
  const interfaces = [podInterface({ mac: "02:aa:bb:cc:dd:ee" })];
  assertError(await addWith({ prevResult: prevResult({ interfaces }) }), 110, /no deviceID.*annotation/);
  assertNothingLeft();
});

vmCase("device: one that is on no bus is named", async () => {
  assertError(await addWith({ deviceID: ABSENT }), 110, /"0000:7f:1f.7": there is no such device/);
  assertError(
    await plugin({ command: "ADD", netns: "pod", config: config({ deviceID: "../../../etc" }) }),
    110,
    /no such/,
  );
  assertNothingLeft();
});

vmCase("device: one without driver is named", async () => {
  const { deviceId } = vf(1);
  unbind(deviceId);
  assertError(await addWith({ deviceID: deviceId }), 110, /no driver is bound/);
});

vmCase("device: one whose driver makes no RDMA device is named", async () => {
  const { deviceId } = vf(1);
  setSimParameter("no_rdma", true);
  rebind(deviceId);
  assertError(await addWith({ deviceID: deviceId }), 110, /driver "igbvf" has made no RDMA device/);
});

vmCase("device: one in another namespace that nobody recorded is named", async () => {
  const { deviceId, rdmaDevice } = vf(1);
  await addNetns("stranger");
  await shOk(`rdma dev set ${rdmaDevice} netns stranger`);
  assertError(await addWith({ deviceID: deviceId }), 111, /in another network namespace.*no record/);
  await assertInPod([rdmaDevice], "stranger");
});

vmCase("device: all devices of a function move together", async () => {
  const { deviceId } = vf(2);
  setSimParameter("devices_per_function", 2);
  rebind(deviceId);
  const both = again({ deviceId }).rdmaDevices;
  assert.equal(both.length, 2);
  assertResult(await addWith({ deviceID: deviceId }));
  await assertInPod(both);
  assertQuiet(await attachment(deviceId).check({ config: config({ deviceID: deviceId, prevResult: {} }) }));
  assertQuiet(await attachment(deviceId).del());
  assert.deepEqual(again({ deviceId }).rdmaDevices, both);
  assertNothingLeft();
});

vmCase("device: one with an SMI sub-device is refused, since the kernel would wait for ever", async () => {
  const { deviceId, rdmaDevice } = vf(0);
  await shOk(`rdma dev add smi1 type SMI parent ${rdmaDevice}`);
  assertError(await addWith({ deviceID: deviceId }), 112, /has sub-devices.*rdma dev del smi1/);
  assertNothingLeft();
  await shOk("rdma dev del smi1");
  assertResult(await attachment(deviceId).add());
  await assertInPod([rdmaDevice]);

  // A sub-device that the pod makes appears on the host.
  await shOk(`nsenter --net=${netnsPath("pod")} rdma dev add smi1 type SMI parent ${rdmaDevice}`);
  assertError(await attachment(deviceId).del(), 112, /has sub-devices.*rdma dev del smi1/);
  await shOk("rdma dev del smi1");
  assertQuiet(await attachment(deviceId).del());
  assertNothingLeft();
});

vmCase("device: a scalable function is found on the auxiliary bus", async () => {
  const { deviceId, rdmaDevice } = sf(1);
  assertResult(await addWith({ deviceID: deviceId }));
  await assertInPod([rdmaDevice]);
  assertQuiet(await attachment(deviceId).del());
  assertNothingLeft();
});

vmCase("device: a physical function's moves, with a warning that names what hangs on it", async () => {
  const { deviceId, rdmaDevices: [rdmaDevice] } = pf();
  await holdContext(rdmaDevice!);
  const added = await addWith({ deviceID: deviceId });
  assertResult(added);
  assert.match(added.stderr, /level="warning".*physical function.*7 virtual functions.*1 ctx on mlx5_/);
  await assertInPod([rdmaDevice!]);
  assertQuiet(await attachment(deviceId).del());
  assertNothingLeft();
});

vmCase("device: a physical function's does not move when allowPF is false", async () => {
  const { deviceId } = pf();
  assertError(await addWith({ deviceID: deviceId, allowPF: false }), 112, /"allowPF" is false/);
  assertNothingLeft();
  assert.equal((await rdmaDevices("pod")).length, 0);
});
