// A function with an InfiniBand port, as far as a real kernel alone shows it; tests/scenarios/infiniband.ts has the
// rest.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  assertError,
  assertInPod,
  attachment,
  config,
  prevResult,
  records,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  assertCode,
  casesWith,
  ipoibOf,
  isInMove,
  libcni,
  makeInfiniBand,
  netdevToNetns,
  netnsPath,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  setSimParameter,
  sh,
  shOk,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";

const vmCase = casesWith({ sets: ["plugin", "newest"] });

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

vmCase("rig: an IPoIB interface has the function as parent, and goes when the device moves", async () => {
  const { deviceId } = vf(0);
  const { rdmaDevice, netdev } = await makeInfiniBand(deviceId);
  await addNetns("pod");
  await netdevToNetns(netdev, "pod", "net1");
  const link = (await podLink("net1"))!;
  assertEquals([link.link_type, link.parentdev], ["infiniband", deviceId]);
  assert(link.flags.includes("UP"));
  await rdmaToNetns(rdmaDevice, "pod");
  assertEquals(await podLink("net1"), undefined);
}, { needs: "linkParent" });

vmCase("rig: an IPoIB interface of a partition has no parent device, and goes too", async () => {
  const { rdmaDevice, netdev } = await makeInfiniBand(vf(0).deviceId);
  await addNetns("pod");
  await shOk(`ip link add link ${netdev} name net1 type ipoib pkey 0x8001 && ip link set net1 netns pod`);
  const { link_type, parentdev } = (await podLink("net1"))!;
  assertEquals([link_type, parentdev], ["infiniband", undefined]);
  await rdmaToNetns(rdmaDevice, "pod");
  assertEquals(await podLink("net1"), undefined);
});

vmCase("infiniband: a chain through libcni leaves the interface as it was found", async () => {
  const { deviceId } = vf(0);
  const { rdmaDevice, netdev } = await makeInfiniBand(deviceId);
  await addNetns("pod");
  const plugins = [{ type: "host-device", device: netdev }, { type: "rdma", deviceID: deviceId }];
  const call = { conflist: { cniVersion: "1.0.0", name: "ib", plugins }, netns: "pod" };
  const added = await assertCode(1, libcni({ command: "add", ...call }));
  assertMatch(added.stdout + added.stderr, /IPoIB/);
  await assertCode(0, libcni({ command: "del", ...call }));
  assertEquals(ipoibOf(deviceId), netdev);
  assert((await rdmaNames()).includes(rdmaDevice));
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
  assertEquals((await rdmaDevices()).find(({ name }) => name === rdmaDevice), before);
  assertEquals(records(), []);
  assert(await podLink("net1"));
});
