// DEL succeeds and loses nothing, whatever happened to pod, namespace, device or record since ADD.
import assert from "node:assert/strict";
import {
  again,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  readRecord,
  records,
  writeRecord,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  deleteNetns,
  holdNetns,
  hostRdmaDevices,
  netnsPath,
  pf,
  rdmaDevices,
  rdmaToNetns,
  rebind,
  setSimParameter,
  shOk,
  startBackground,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

const FILE = "net-container1-net1";

/** A pod that has the device of VF 0. */
async function addedPod() {
  await addNetns("pod");
  const function_ = vf(0);
  const { index } = (await rdmaDevices()).find(({ name }) => name === function_.rdmaDevice)!;
  const one = attachment(function_.deviceId);
  assertResult(await one.add());
  await assertInPod([function_.rdmaDevice]);
  return { ...function_, ...one, index };
}

function assertOnHost(function_: { deviceId: string; rdmaDevice: string }): void {
  assertNothingLeft();
  assert.deepEqual(again(function_).rdmaDevices, [function_.rdmaDevice]);
}

vmCase("del: CNI_NETNS empty, and no prevResult", async () => {
  const pod = await addedPod();
  const { deviceId } = pod;
  assertQuiet(await pod.del({ netns: "", config: config({ deviceID: deviceId, prevResult: undefined }) }));
  await assertInPod([]);
  assertOnHost(pod);
});

vmCase("del: without CNI_NETNS, deviceID and prevResult the record is enough", async () => {
  const pod = await addedPod();
  const bare = { cniVersion: "1.0.0", name: "net", type: "rdma" };
  assertQuiet(await pod.del({ config: bare, environment: { CNI_NETNS: undefined } }));
  assertOnHost(pod);
});

vmCase(
  "del: CNI_NETNS is the host's namespace: the record counts, and without one nothing moves",
  async () => {
    const pod = await addedPod();
    assertQuiet(await pod.del({ netns: "/proc/1/ns/net" }));
    await assertInPod([]);
    assertOnHost(pod);

    const before = await rdmaDevices();
    assertQuiet(await pod.del({ netns: "/proc/1/ns/net" }));
    assert.deepEqual(await rdmaDevices(), before);

    await rdmaToNetns(pod.rdmaDevice, "pod");
    await holdNetns("pod");
    const names = { sandboxRdmaDevName: pod.rdmaDevice, containerRdmaDevName: pod.rdmaDevice };
    writeRecord(FILE, { version: "1.0", deviceID: pod.deviceId, ...names }); // names no namespace
    assertQuiet(await pod.del({ netns: "/proc/1/ns/net" }));
    await assertInPod([]);
    assertOnHost(pod);
  },
);

vmCase("del: the namespace has ended", async () => {
  const pod = await addedPod();
  await deleteNetns("pod");
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("del: the namespace is ending, its device returns to the host meanwhile", async () => {
  const pod = await addedPod();
  await shOk("ip netns del pod");
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("del: the path has gone, but a process keeps the namespace alive", async () => {
  const pod = await addedPod();
  await holdNetns("pod");
  await shOk("ip netns del pod");
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("del: the path has gone, but an open file keeps the namespace alive", async () => {
  const pod = await addedPod();
  await startBackground(`exec 9<${netnsPath("pod")}; echo open; exec sleep infinity`, "open");
  await shOk("ip netns del pod");
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("del: the path is no namespace any more", async () => {
  const pod = await addedPod();
  await holdNetns("pod");
  await shOk("umount /run/netns/pod");
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("del: the path leads to another namespace by now", async () => {
  const pod = await addedPod();
  await holdNetns("pod");
  await shOk("ip netns del pod");
  await addNetns("pod");
  await rdmaToNetns(vf(1).rdmaDevice, "pod");
  const stranger = await rdmaDevices("pod");
  assertQuiet(await pod.del());
  assertHome1(pod);
  assert.deepEqual(await rdmaDevices("pod"), stranger);
});

/** As assertOnHost, while VF 1 is in a pod. */
function assertHome1(function_: { deviceId: string; rdmaDevice: string }): void {
  assert.deepEqual(records(), []);
  assert.deepEqual(again(function_).rdmaDevices, [function_.rdmaDevice]);
}

vmCase("del: the device is on the host already", async () => {
  const pod = await addedPod();
  await hostRdmaDevices(pod.rdmaDevice, "pod");
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("del: the device was renamed in the pod", async () => {
  const pod = await addedPod();
  await shOk(`nsenter --net=${netnsPath("pod")} rdma dev set ${pod.rdmaDevice} name roce0`);
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("del: the device returned to the host and was renamed there", async () => {
  const pod = await addedPod();
  await hostRdmaDevices(pod.rdmaDevice, "pod");
  await shOk(`rdma dev set ${pod.rdmaDevice} name rocep1s0v0`);
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("del: the device was renamed and its old name is taken", async () => {
  const pod = await addedPod();
  const other = vf(1).rdmaDevice;
  await shOk(`nsenter --net=${netnsPath("pod")} rdma dev set ${pod.rdmaDevice} name roce0`);
  await shOk(`rdma dev set ${other} name ${pod.rdmaDevice}`);
  const deleted = await pod.del();
  assertQuiet(deleted);
  assert.match(deleted.stderr, /level="warning".*roce0.*keeps its name.*EEXIST/);
  assert.deepEqual(again(pod).rdmaDevices, ["roce0"]);
  assertNothingLeft();
  await shOk(`rdma dev set ${pod.rdmaDevice} name ${other} && rdma dev set roce0 name ${pod.rdmaDevice}`);
});

vmCase("del: the driver was rebound, the new device is on the host", async () => {
  const pod = await addedPod();
  rebind(pod.deviceId);
  const [{ index } = { index: 0 }] = (await rdmaDevices()).filter(({ name }) =>
    name === again(pod).rdmaDevices[0]
  );
  assert.notEqual(index, pod.index);
  assertQuiet(await pod.del());
  assertNothingLeft();
  assert.equal(again(pod).rdmaDevices.length, 1);
});

vmCase("del: the function has gone from the bus", async () => {
  const pod = await addedPod();
  const sriov = `/sys/bus/pci/devices/${pf().deviceId}/sriov`;
  await shOk(`echo 0 >${sriov}_numvfs`);
  assertQuiet(await pod.del());
  assert.deepEqual(records(), []);
  await shOk(
    `echo 0 >${sriov}_drivers_autoprobe; echo 7 >${sriov}_numvfs; echo 1 >${sriov}_drivers_autoprobe`,
  );
});

for (
  const [what, content] of [
    ["is missing", undefined],
    ["is empty", ""],
    ["is cut off", '{"version":"1.1","devi'],
    ["is of a newer major version", { version: "2.0", deviceID: "x" }],
    ["is of another form", { version: "1.1", deviceID: 7 }],
  ] as const
) {
  vmCase(`del: the record ${what}: the configured device returns to the host from the pod`, async () => {
    const pod = await addedPod();
    if (content === undefined) Deno.removeSync(`/var/lib/cni/rdma/${FILE}`);
    else writeRecord(FILE, content);
    assertQuiet(await pod.del());
    await assertInPod([]);
    assertOnHost(pod);
  });
}

vmCase("del: without a record no other function's device is taken from the pod", async () => {
  const pod = await addedPod();
  const { rdmaDevice } = vf(1);
  await rdmaToNetns(rdmaDevice, "pod");
  Deno.removeSync(`/var/lib/cni/rdma/${FILE}`);
  assertQuiet(await pod.del());
  await assertInPod([rdmaDevice]);
  assertHome1(pod);
});

vmCase(
  "del: a record that is a symbolic link is not followed, one that is a directory not emptied",
  async () => {
    const pod = await addedPod();
    Deno.removeSync(`/var/lib/cni/rdma/${FILE}`);
    Deno.writeTextFileSync("/tmp/precious", "kept");
    Deno.symlinkSync("/tmp/precious", `/var/lib/cni/rdma/${FILE}`);
    assertQuiet(await pod.del());
    assertOnHost(pod);
    assert.equal(Deno.readTextFileSync("/tmp/precious"), "kept");

    Deno.mkdirSync(`/var/lib/cni/rdma/${FILE}/directory`, { recursive: true });
    const deleted = await pod.del();
    assertQuiet(deleted);
    assert.match(deleted.stderr, /level="warning".*not a regular file/);
    assert.deepEqual(records(), [FILE]);
  },
);

vmCase("del: a newer attachment has the function: it is not touched", async () => {
  const pod = await addedPod();
  const old = readRecord(FILE);
  await holdNetns("pod");
  await shOk("ip netns del pod");
  await addNetns("new");
  const newer = attachment(pod.deviceId, { netns: "new", containerId: "container2" });
  const added = await newer.add();
  assertResult(added);
  assert.match(added.stderr, /level="warning".*Pod of net-container1-net1 is gone/);
  writeRecord(FILE, old); // as if the old pod's DEL were late
  assertQuiet(await pod.del());
  await assertInPod([pod.rdmaDevice], "new");
  assert.deepEqual(records(), ["net-container2-net1"]);
  assertQuiet(await newer.del());
  assertOnHost(pod);
});

vmCase("del: a record from before the last boot is forgotten, its numbers mean nothing now", async () => {
  const pod = await addedPod();
  const record = readRecord(FILE);
  writeRecord("net-old-net1", {
    ...record,
    containerID: "old",
    bootID: "0b8bbb7e-0000-4000-8000-000000000000",
  });
  assertQuiet(await pod.del({ containerId: "old" }));
  await assertInPod([pod.rdmaDevice]);
  assert.deepEqual(records(), [FILE]);
});

vmCase(
  "del: fails only when a device that is there cannot be restored to the host, and keeps the record",
  async () => {
    const pod = await addedPod();
    const wrapper = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
    const deleted = await pod.del({ wrapper });
    assert.deepEqual([deleted.code, deleted.json?.code], [1, 120]);
    assert.deepEqual(records(), [FILE]);
    await assertInPod([pod.rdmaDevice]);
    assertQuiet(await pod.del());
    assertOnHost(pod);
  },
);

vmCase(
  "del: the Go plugin's record, with the device in the pod, on the host already, and after the namespace",
  async () => {
    const { deviceId, rdmaDevice } = vf(0);
    const record = {
      version: "1.0",
      deviceID: deviceId,
      sandboxRdmaDevName: rdmaDevice,
      containerRdmaDevName: rdmaDevice,
    };
    const bare = attachment(deviceId, { config: { cniVersion: "1.0.0", name: "net", type: "rdma" } });
    await addNetns("pod");
    await rdmaToNetns(rdmaDevice, "pod");
    writeRecord(FILE, record);
    assertQuiet(await bare.del());
    await assertInPod([]);
    assertOnHost({ deviceId, rdmaDevice });

    writeRecord(FILE, record);
    assertQuiet(await bare.del());
    assertOnHost({ deviceId, rdmaDevice });

    await rdmaToNetns(rdmaDevice, "pod");
    writeRecord(FILE, record);
    await holdNetns("pod");
    await shOk("ip netns del pod");
    assertQuiet(await bare.del({ netns: "" }));
    assertOnHost({ deviceId, rdmaDevice });
  },
);

vmCase("del: a device that takes its time returns to the host all the same", async () => {
  const pod = await addedPod();
  setSimParameter("move_delay_ms", 1500);
  assertQuiet(await pod.del());
  setSimParameter("move_delay_ms", 0);
  assertOnHost(pod);
});
