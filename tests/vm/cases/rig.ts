// Cases that prove the rig itself, by iproute2's own programs: what other cases build on.
import { assert, assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import {
  addNetns,
  addPod,
  assertCode,
  deleteNetns,
  holdContext,
  holdNetns,
  hostRdmaDevices,
  libcni,
  netnsCount,
  pf,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  rebind,
  setSimParameter,
  sf,
  sfs,
  sh,
  shOk,
  until,
  vf,
  vfs,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

vmCase("rig: every function has one RDMA device, with the GUID of its address", async () => {
  const devices = await rdmaDevices();
  assertEquals(vfs().length, 7);
  assertEquals(devices.length, 8 + sfs().length);
  for (const { mac, rdmaDevices } of [pf(), ...vfs(), ...sfs()]) {
    assertEquals(rdmaDevices.length, 1);
    const digits = mac!.replaceAll(":", "");
    const guid = `${digits.slice(0, 6)}fffe${digits.slice(6)}`.match(/..../g)!.join(":");
    assertEquals(devices.find(({ name }) => name === rdmaDevices[0])!.nodeGuid, guid);
  }
}, { sets: ["plugin", "newest", "oldest", "arm64"] });

vmCase("rig: a VF without administrative address has GUID zero", async () => {
  const { deviceId, netdev, mac } = vf(6);
  await shOk(`ip link set ${pf().netdev} vf 6 mac 00:00:00:00:00:00`);
  rebind(deviceId);
  assertNotEquals(vf(6).mac, mac);
  const { nodeGuid } = (await rdmaDevices()).find(({ name }) => name === vf(6).rdmaDevice)!;
  assertEquals(nodeGuid, "0000:0000:0000:0000");
  await shOk(`ip link set ${netdev} address ${mac}`); // so that nothing but a new bind brings the GUID back
  assertEquals(vf(6).mac, mac);
});

vmCase("rig: a device moves to a namespace and back, and keeps its index", async () => {
  const { rdmaDevice } = vf(0);
  const before = (await rdmaDevices()).find(({ name }) => name === rdmaDevice)!;
  await addNetns("pod");
  await rdmaToNetns(rdmaDevice, "pod");
  assertEquals(await rdmaDevices("pod"), [before]);
  assert(!(await rdmaNames()).includes(rdmaDevice));
  assertEquals(vfs()[0]!.rdmaDevices, []);
  await hostRdmaDevices(rdmaDevice, "pod");
  assertEquals((await rdmaDevices()).find(({ name }) => name === rdmaDevice), before);
});

vmCase("rig: a device returns to the host when its namespace ends", async () => {
  const { rdmaDevice } = vf(1);
  await addNetns("pod");
  await rdmaToNetns(rdmaDevice, "pod");
  await deleteNetns("pod");
  assertEquals(vf(1).rdmaDevice, rdmaDevice);
}, { sets: ["plugin", "newest", "oldest"] });

vmCase("rig: a namespace without path lives as long as a process in it, and keeps the device", async () => {
  await addNetns("pod");
  await rdmaToNetns(vf(1).rdmaDevice, "pod");
  const holder = await holdNetns("pod");
  await shOk("ip netns del pod");
  assertEquals(netnsCount(), 2);
  assertEquals(vfs()[1]!.rdmaDevices, []);
  holder.kill("SIGKILL");
  await until("the namespace is gone", () => netnsCount() === 1);
  assertEquals(vfs()[1]!.rdmaDevices.length, 1);
}, { sets: ["plugin", "newest", "oldest"] });

vmCase("rig: a new bind gives a new index and may give the same name", async () => {
  const { deviceId, rdmaDevice } = vf(2);
  const before = (await rdmaDevices()).find(({ name }) => name === rdmaDevice)!;
  rebind(deviceId);
  const after = (await rdmaDevices()).find(({ name }) => name === rdmaDevice)!;
  assertNotEquals(after.index, before.index);
  assertEquals(after.nodeGuid, before.nodeGuid);
}, { sets: ["plugin", "newest", "oldest"] });

vmCase("rig: a function can have two devices, or none", () => {
  setSimParameter("devices_per_function", 2);
  rebind(vf(3).deviceId);
  assertEquals(vfs()[3]!.rdmaDevices.length, 2);
  setSimParameter("no_rdma", true);
  rebind(vf(3).deviceId);
  assertEquals(vfs()[3]!.rdmaDevices, []);
});

vmCase("rig: an immovable device refuses", async () => {
  setSimParameter("immovable", 1);
  rebind(vf(4).deviceId);
  await addNetns("pod");
  const { code, stderr } = await sh(`rdma dev set ${vf(4).rdmaDevice} netns pod`);
  assertNotEquals(code, 0);
  assertMatch(stderr, /Operation not supported/);
});

vmCase("rig: a move can take time", async () => {
  await addNetns("pod");
  setSimParameter("move_delay_ms", 500);
  const start = performance.now();
  await rdmaToNetns(vf(0).rdmaDevice, "pod");
  assert(performance.now() - start >= 500);
  setSimParameter("move_delay_ms", 0);
});

vmCase("rig: scalable functions are on the auxiliary bus", async () => {
  assertEquals(sfs().map(({ deviceId }) => deviceId), ["rdma_sim.sf.0", "rdma_sim.sf.1"]);
  await addNetns("pod");
  const { rdmaDevice } = sf(0);
  await rdmaToNetns(rdmaDevice, "pod");
  assertEquals(await rdmaNames("pod"), [rdmaDevice]);
}, { needs: "auxiliaryBus" });

vmCase("rig: an SMI sub-device names its parent", async () => {
  const { rdmaDevice } = vf(0);
  await shOk(`rdma dev add smi1 type SMI parent ${rdmaDevice}`);
  const sub = (await rdmaDevices()).find(({ name }) => name === "smi1")!;
  assertEquals([sub.type, sub.parent], ["smi", rdmaDevice]);
  assertEquals(vfs()[0]!.rdmaDevices.length, 2);
}, { needs: "subDevices" });

vmCase("rig: infiniband_verbs tells the device of a function wherever it is", async () => {
  const { deviceId, rdmaDevice } = vf(5);
  await addNetns("pod");
  await rdmaToNetns(rdmaDevice, "pod");
  assertEquals(await shOk(`cat /sys/bus/pci/devices/${deviceId}/infiniband_verbs/*/ibdev`), rdmaDevice);
});

vmCase("rig: a program that uses a device is seen", async () => {
  const { rdmaDevice } = vf(0);
  await holdContext(rdmaDevice);
  const [summary] = JSON.parse(await shOk(`rdma -j res show ${rdmaDevice}`));
  assertEquals([summary.ctx, summary.pd], [1, 1]);
});

vmCase("rig: a kernel's warning is seen, also when its own log has lost it", async (log) => {
  await shOk("echo on >/proc/sys/kernel/printk_devkmsg; echo '<7>WARNING: made up' >/dev/kmsg");
  const line = new TextEncoder().encode(`<7>${"x".repeat(900)}\n`);
  const lost = async () => !(await shOk("dmesg")).includes("made up");
  using kmsg = Deno.openSync("/dev/kmsg", { write: true });
  await until("the kernel's log has lost it", async () => {
    for (let i = 0; i < 50; i++) kmsg.writeSync(line);
    return await lost();
  });
  assertMatch(await log.takeWarning() ?? "", /^WARNING: made up/);
  assertEquals(await log.takeWarning(), undefined);
});

vmCase("rig: libcni runs a chain", async () => {
  const { netdev, deviceId, mac } = await addPod();
  const plugins = [{ type: "host-device", capabilities: { deviceID: true } }];
  const call = {
    conflist: { cniVersion: "1.0.0", name: "sriov", plugins },
    netns: "pod",
    capabilities: { deviceID: deviceId },
  };
  const added = await assertCode(0, libcni({ command: "add", ...call }));
  assertEquals(added.json!.interfaces, [{ name: "net1", mac, sandbox: "/run/netns/pod" }]);
  assertEquals((await libcni({ command: "check", ...call })).code, 0);
  assertEquals((await libcni({ command: "del", ...call })).code, 0);
  assertEquals(vf(0).netdev, netdev);
});
