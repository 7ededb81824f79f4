// The names that devices get in a pod, and that they get back on the host, beyond tests/scenarios/names.ts.
import { NetlinkError } from "../../src/netlink/error.ts";
import type { Device } from "../rig/memory/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { brokenPipe } from "../support/call.ts";

const EBUSY = 16;
const OTHER_VF = "0000:3b:00.3";
const TWO = "/run/netns/two";
const SECOND = "net-two-net1";
const NAMED = { config: { rdmaDeviceName: "rdma_{ifname}" } };
const KEEP = { config: { ...NAMED.config, rdmaDeviceNameConflict: "keep" } };
const INDEXED = { config: { rdmaDeviceName: "roce_{index}" } };
const GC = {
  variables: { CNI_CONTAINERID: "", CNI_IFNAME: "" },
  config: { "cni.dev/valid-attachments": [] },
};
const second = (config: object = {}) => ({ variables: { CNI_NETNS: TWO, CNI_CONTAINERID: "two" }, config });

const places = (node: TestNode, ...devices: Device[]) =>
  devices.map((device) => `${node.whereIs(device)} ${device.name}`);

const namesInRecord = (node: TestNode, file = FILE) =>
  node.recorded(file).devices.map(({ hostName, podName }) => `${hostName} ${podName}`);

async function namedNode(): Promise<TestNode> {
  const node = new TestNode();
  await node.succeed("ADD", NAMED);
  assertEquals(places(node, node.device), [`${POD} rdma_net1`]);
  return node;
}

function addOther(node: TestNode, name: string, space = node.kernel.host): Device {
  node.kernel.addFunction(OTHER_VF);
  return node.kernel.addDevice(OTHER_VF, 3, { name, space });
}

/** Asserts that nothing is recorded and the device is on the host under its own name. */
function assertAsBefore(node: TestNode): void {
  node.assertForgotten();
  assertEquals(node.device.name, "mlx5_2");
}

Deno.test("a device that is in the pod and called so already keeps its number", async () => {
  using node = new TestNode();
  Object.assign(node.device, { space: node.pod, name: "roce_0" });
  await node.succeed("ADD", INDEXED);
  assertEquals(places(node, node.device), [`${POD} roce_0`]);
});

Deno.test("a device in the pod keeps the name that the record has when the host has the one wanted", async () => {
  using node = new TestNode();
  node.device.space = node.pod;
  addOther(node, "rdma_net1");
  await node.succeed("ADD", KEEP);
  assertEquals([places(node, node.device), namesInRecord(node)], [[`${POD} mlx5_2`], ["mlx5_2 mlx5_2"]]);
});

for (const what of ["from before the last boot", "of a pod that has another device too"]) {
  Deno.test(`a record ${what} does not tell who has a name`, async () => {
    using node = new TestNode();
    const { inode } = addOther(node, "rdma_net1", node.kernel.addNetns(TWO)).space;
    const devices = [{ index: 3, hostName: "mlx5_3", podName: "rdma_net1" }];
    const earlier = { deviceId: OTHER_VF, netns: { path: TWO, inode }, devices, bootId: "boot-0" };
    if (what.startsWith("from")) node.claim("two", earlier);
    else {
      node.kernel.addFunction("0000:3b:00.4");
      node.kernel.addDevice("0000:3b:00.4", 4);
      await node.succeed("ADD", second({ deviceID: "0000:3b:00.4" }));
    }
    assertStringIncludes((await node.fail("ADD", 114, NAMED)).json.msg, "in no record");
  });
}

Deno.test("a rename that the kernel refuses for another reason is code 120 and rolled back, also with keep", async () => {
  for (const isInPod of [false, true]) {
    using node = new TestNode();
    if (isInPod) node.device.space = node.pod;
    node.kernel.onRename = () => {
      throw new NetlinkError("rename RDMA device 2", EBUSY);
    };
    await node.fail("ADD", 120, KEEP);
    assertAsBefore(node);
  }
});

Deno.test("when a move or the result fails, all devices have their names back", async () => {
  for (const refused of ["the first", "the second", "none"]) {
    using node = new TestNode();
    const second = node.kernel.addDevice(VF, 4);
    node.kernel.onMove = (device) => {
      const isRefused = refused === (device === second ? "the second" : "the first");
      return isRefused && device.space === node.kernel.host ? EBUSY : undefined;
    };
    if (refused !== "none") await node.fail("ADD", 120, INDEXED);
    else assertEquals((await node.call("ADD", { ...INDEXED, writeOutput: brokenPipe })).code, 1);
    assertAsBefore(node);
    assertEquals(places(node, second), ["host mlx5_4"]);
  }
});

Deno.test("the record has both names before the device gets one, so that a call can die at any time", async () => {
  using node = new TestNode();
  const seen: string[][] = [];
  node.kernel.onRename = () => void seen.push(namesInRecord(node));
  node.kernel.onMove = () => void seen.push([...namesInRecord(node), ...places(node, node.device)]);
  const record = "mlx5_2 rdma_net1";
  for (const command of ["ADD", "DEL"]) await node.succeed(command, NAMED);
  assertEquals(seen, [[record], [record, "host rdma_net1"], [record], [record, `${POD} mlx5_2`]]);
  assertAsBefore(node);
});

for (const where of ["host mlx5_2", "host rdma_net1", `${POD} mlx5_2`]) {
  Deno.test(`after a call that died with the device as "${where}", DEL and GC leave all as before, and ADD repeats itself`, async () => {
    for (const [command, parts] of [["DEL", {}], ["GC", GC], ["ADD", NAMED]] as const) {
      using node = await namedNode();
      const [path, name = ""] = where.split(" ");
      Object.assign(node.device, { name, space: path === POD ? node.pod : node.kernel.host });
      await node.succeed(command, parts);
      if (command === "ADD") {
        const found = [...places(node, node.device), ...namesInRecord(node)];
        assertEquals(found, [`${POD} rdma_net1`, "mlx5_2 rdma_net1"]);
        await node.succeed("DEL");
      }
      assertAsBefore(node);
    }
  });
}

// Pods that ended without DEL, and whose function a new pod got.

/** A name as the driver makes them: then ADD does not look whether an earlier pod left it. */
const DRIVER_LIKE = { rdmaDeviceName: "mlx5_70" };
const ROCE = { rdmaDeviceName: "roce0" };

/** The first pod has ended, so its device is on the host under the pod's name, and a second one got it. */
async function takenOver(config: object): Promise<TestNode> {
  const node = new TestNode();
  await node.succeed("ADD", { config: DRIVER_LIKE });
  node.endNetns();
  node.kernel.addNetns(TWO);
  await node.succeed("ADD", second(config));
  return node;
}

for (const later of [0, 1]) {
  Deno.test(`GC of two pods, the second ${later} µs younger, that had one device restores its first name`, async () => {
    using node = await takenOver(ROCE);
    const { bootTimeUs = 0 } = node.recorded();
    node.write(SECOND, { ...node.recorded(SECOND), bootTimeUs: bootTimeUs + later });
    await node.succeed("GC", GC);
    assertAsBefore(node);
  });
}

Deno.test("a late DEL that cannot tell the newer record the first name succeeds and says so", async () => {
  using node = await takenOver(ROCE);
  Deno.mkdirSync(`${node.directory}/.${SECOND}.tmp/full`, { recursive: true });
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "its devices keep the names that net-container1-net1 gave them");
  assertEquals(places(node, node.device), [`${TWO} roce0`]);
});

Deno.test("an index that was remembered by a name counts only for the device that has the name", async () => {
  using node = new TestNode();
  node.kernel.devices.splice(0, 1);
  const device = node.kernel.addDevice(VF, 11, { name: "mlx5_2", uverbs: "uverbs2" });
  const stranger = addOther(node, "mlx5_3");
  for (const command of ["ADD", "DEL"]) await node.succeed(command, NAMED);
  assertEquals([node.indexes.get("mlx5_2"), ...places(node, device)], ["11", "host mlx5_2"]);
  [device.name, stranger.name] = ["roce0", "mlx5_2"];
  await node.succeed("ADD", {
    variables: { CNI_IFNAME: "net2" },
    config: { deviceID: OTHER_VF, rdmaDeviceName: "rdma_net2" },
  });
  assertEquals(places(node, device, stranger), ["host roce0", `${POD} rdma_net2`]);
});

// Linux 7.3 keeps the names of each namespace apart; tests/scenarios/names_per_netns.ts has the rest.

Deno.test("names per namespace: {index} counts in the pod", async () => {
  using node = new TestNode();
  node.kernel.namesPerNetns = true;
  addOther(node, "mlx5_0", node.pod);
  addOther(node, "mlx5_1");
  await node.succeed("ADD", { config: { rdmaDeviceName: "mlx5_{index}" } });
  assertEquals([places(node, node.device), namesInRecord(node)], [[`${POD} mlx5_1`], ["mlx5_2 mlx5_1"]]);
  await node.succeed("DEL");
  assertAsBefore(node);
});

Deno.test("names per namespace: two devices of one function, one in the pod, are told apart", async () => {
  using node = new TestNode();
  node.kernel.namesPerNetns = true;
  addOther(node, "mlx5_7", node.pod);
  const devices = [node.device, node.kernel.addDevice(VF, 9, { name: "mlx5_9" })];
  await node.succeed("ADD", { config: { rdmaDeviceName: "mlx5_{index}" } });
  assertEquals(places(node, ...devices), [`${POD} mlx5_0`, `${POD} mlx5_1`]);
  await node.succeed("DEL");
  assertEquals(places(node, ...devices), ["host mlx5_2", "host mlx5_9"]);
});
