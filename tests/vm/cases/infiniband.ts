// A function with an InfiniBand port: IPoIB, the kernel's own module, removes its interface when the RDMA device moves,
// in whatever namespace that is. ib-sriov-cni cannot be installed from Debian; iproute2 does what it does.
import assert from "node:assert/strict";
import {
  assertError,
  assertInPod,
  assertQuiet,
  assertResult,
  attachment,
  config,
  prevResult,
  records,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  ipoibOf,
  isInMove,
  libcni,
  makeInfiniBand,
  netdevToNetns,
  netnsPath,
  plugin,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  setSimParameter,
  sh,
  shOk,
  until,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

interface PodLink {
  ifindex: number;
  link_type: string;
  parentdev?: string;
  flags: string[];
}

/** An interface in the pod; undefined when it is not there. */
async function podLink(name: string): Promise<PodLink | undefined> {
  const { code, stdout } = await sh(`ip -n pod -json -details link show ${name}`);
  return code === 0 ? JSON.parse(stdout)[0] : undefined;
}

/** Hands the IPoIB interface of VF 0 to the pod as net1, with an address. @returns the function, and the link there */
async function giveIpoib() {
  const { deviceId } = vf(0);
  const { rdmaDevice, netdev } = await makeInfiniBand(deviceId);
  await addNetns("pod");
  await netdevToNetns(netdev, "pod", "net1");
  await shOk("ip -n pod address add 10.0.0.2/24 dev net1");
  return { deviceId, rdmaDevice, link: (await podLink("net1"))! };
}

/** Asserts that nothing happened to the pod's interface and to the function's device, and that nothing was recorded. */
async function assertUntouched(link: PodLink, rdmaDevice: string): Promise<void> {
  assert.deepEqual(await podLink("net1"), link);
  assert.match(await shOk("ip -n pod -br address show net1"), /10\.0\.0\.2\/24/);
  assert.ok((await rdmaNames()).includes(rdmaDevice), "the RDMA device is not in the host namespace");
  assert.deepEqual(records(), []);
}

vmCase(
  "rig: an IPoIB interface has the function as parent, and goes when the RDMA device moves",
  async () => {
    const { deviceId, rdmaDevice, link } = await giveIpoib();
    assert.deepEqual([link.link_type, link.parentdev], ["infiniband", deviceId]);
    assert.ok(link.flags.includes("UP"));
    await rdmaToNetns(rdmaDevice, "pod");
    assert.equal(await podLink("net1"), undefined);
  },
);

vmCase("rig: an IPoIB interface of a partition has no parent device, and goes too", async () => {
  const { rdmaDevice, netdev } = await makeInfiniBand(vf(0).deviceId);
  await addNetns("pod");
  await shOk(`ip link add link ${netdev} name net1 type ipoib pkey 0x8001 && ip link set net1 netns pod`);
  const { link_type, parentdev } = (await podLink("net1"))!;
  assert.deepEqual([link_type, parentdev], ["infiniband", undefined]);
  await rdmaToNetns(rdmaDevice, "pod");
  assert.equal(await podLink("net1"), undefined);
});

vmCase("infiniband: ADD refuses when the pod has the function's IPoIB interface, which stays", async () => {
  const { deviceId, rdmaDevice, link } = await giveIpoib();
  const one = attachment(deviceId);
  assertError(await one.add(), 115, /"net1".*IPoIB.*"rdmaIsolation": true.*"rdma"/);
  await assertUntouched(link, rdmaDevice);
  // The runtime calls DEL after an ADD that failed.
  assertQuiet(await one.del());
  await assertUntouched(link, rdmaDevice);
});

vmCase(
  "infiniband: ADD refuses without deviceID too, and whichever interface of the result it is",
  async () => {
    const { deviceId, rdmaDevice, link } = await giveIpoib();
    assertError(await plugin({ command: "ADD", netns: "pod", config: config() }), 115, /"net1"/);
    const other = await plugin({
      command: "ADD",
      netns: "pod",
      ifname: "net7",
      config: config({ deviceID: deviceId }),
    });
    assertError(other, 115, /"net1"/);
    const optional = config({ deviceID: deviceId, optional: true });
    assertError(await plugin({ command: "ADD", netns: "pod", config: optional }), 115, /"net1"/);
    await assertUntouched(link, rdmaDevice);
  },
);

vmCase("infiniband: ADD refuses when the pod has an IPoIB interface of a partition", async () => {
  const { deviceId } = vf(0);
  const { rdmaDevice, netdev } = await makeInfiniBand(deviceId);
  await addNetns("pod");
  await shOk(`ip link add link ${netdev} name net1 type ipoib pkey 0x8001 && ip link set net1 netns pod`);
  const link = await podLink("net1");
  assertError(await attachment(deviceId).add(), 115, /"net1"/);
  assert.deepEqual(await podLink("net1"), link);
  assert.ok((await rdmaNames()).includes(rdmaDevice));
  assert.deepEqual(records(), []);
});

vmCase("infiniband: a chain through libcni leaves the interface as it was found", async () => {
  const { deviceId } = vf(0);
  const { rdmaDevice, netdev } = await makeInfiniBand(deviceId);
  await addNetns("pod");
  const plugins = [{ type: "host-device", device: netdev }, { type: "rdma", deviceID: deviceId }];
  const call = { conflist: { cniVersion: "1.0.0", name: "ib", plugins }, netns: "pod" };
  const added = await libcni({ command: "add", ...call });
  assert.equal(added.code, 1, added.stdout);
  assert.match(added.stdout + added.stderr, /IPoIB/);
  const deleted = await libcni({ command: "del", ...call });
  assert.equal(deleted.code, 0, deleted.stdout + deleted.stderr);
  assert.equal(ipoibOf(deviceId), netdev);
  assert.ok((await rdmaNames()).includes(rdmaDevice));
});

vmCase(
  "infiniband: a device that ib-sriov-cni has isolated stays in the pod, with its interface",
  async () => {
    const { deviceId } = vf(0);
    const { rdmaDevice } = await makeInfiniBand(deviceId);
    await addNetns("pod");
    await rdmaToNetns(rdmaDevice, "pod");
    await netdevToNetns(ipoibOf(deviceId)!, "pod", "net1");
    const link = (await podLink("net1"))!;
    const one = attachment(deviceId);
    assertError(await one.add(), 115, /"net1".*"rdma"/);
    assertQuiet(await one.del());
    assert.deepEqual(await podLink("net1"), link);
    await assertInPod([rdmaDevice]);
    assert.deepEqual(records(), []);
  },
);

vmCase(
  "infiniband: a device moves while its IPoIB interface is on the host, and can be handed over then",
  async () => {
    const { deviceId } = vf(0);
    const { rdmaDevice } = await makeInfiniBand(deviceId);
    await addNetns("pod");
    await shOk("ip -n pod link add net1 type dummy");
    const one = attachment(deviceId);
    assertResult(await one.add());
    await assertInPod([rdmaDevice]);
    await netdevToNetns(ipoibOf(deviceId)!, "pod", "net2");
    assertQuiet(await one.check({ config: config({ deviceID: deviceId, cniVersion: "1.0.0" }) }));
    assert.equal((await podLink("net2"))!.link_type, "infiniband");
    assertQuiet(await one.del());
    assert.ok((await rdmaNames()).includes(rdmaDevice));
    assert.deepEqual(records(), []);
  },
);

vmCase("infiniband: an Ethernet interface of the same function does not stand in the way", async () => {
  const { deviceId, netdev } = vf(0);
  const { rdmaDevice } = await makeInfiniBand(deviceId);
  await addNetns("pod");
  await netdevToNetns(netdev, "pod", "net1");
  const link = await podLink("net1");
  assert.deepEqual([link!.link_type, link!.parentdev], ["ether", deviceId]);
  assertResult(await attachment(deviceId).add());
  await assertInPod([rdmaDevice]);
  assert.deepEqual(await podLink("net1"), link);
});

vmCase("infiniband: an IPoIB interface of another function does not stand in the way", async () => {
  const { rdmaDevice: other, deviceId: otherId } = vf(1);
  await giveIpoib();
  const link = await podLink("net1");
  setSimParameter("no_rdma", false);
  assertResult(await attachment(otherId).add());
  await assertInPod([other]);
  assert.deepEqual(await podLink("net1"), link);
});

vmCase("infiniband: ADD is rolled back when an interface of the pod vanishes during the move", async () => {
  const { deviceId, rdmaDevice } = vf(1);
  const before = (await rdmaDevices()).find(({ name }) => name === rdmaDevice);
  await addNetns("pod");
  await shOk("ip -n pod link add net1 type dummy && ip -n pod link add net2 type dummy");
  const interfaces = ["net1", "net2"].map((name) => ({ name, sandbox: netnsPath("pod") }));
  setSimParameter("move_delay_ms", 2000);
  const adding = attachment(deviceId).add({
    config: config({ deviceID: deviceId, prevResult: prevResult({ interfaces }) }),
  });
  await until("the device moves", async () => {
    const { stdout } = await sh("pidof rdma");
    return stdout.split(" ").some((pid) => pid !== "" && isInMove(Number(pid)));
  });
  await shOk("ip -n pod link del net2");
  assertError(await adding, 113, /interface "net2".*vanished/);
  setSimParameter("move_delay_ms", 0);
  await assertInPod([]);
  assert.deepEqual((await rdmaDevices()).find(({ name }) => name === rdmaDevice), before);
  assert.deepEqual(records(), []);
  assert.ok(await podLink("net1"));
});
