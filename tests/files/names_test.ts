// The names that devices get in a pod, and that they get back on the host.
import type { Device } from "../rig/memory/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

const EBUSY = 16;
const OTHER_VF = "0000:3b:00.3";
const NAMED = { config: { rdmaDeviceName: "rdma_{ifname}" } };

type Parts = Parameters<TestNode["call"]>[1];

/** Where devices are, and what they are called there. */
const places = (node: TestNode, ...devices: Device[]) =>
  devices.map((device) => `${node.whereIs(device)} ${device.name}`);

const namesInRecord = (node: TestNode, file = FILE) =>
  node.recorded(file).devices.map(({ hostName, podName }) => `${hostName} ${podName}`);

/** The node on which ADD gave the device a name. */
async function namedNode(): Promise<TestNode> {
  const node = new TestNode();
  await node.succeed("ADD", NAMED);
  assertEquals(places(node, node.device), [`${POD} rdma_net1`]);
  return node;
}

/** One more function with a device. */
function addOther(node: TestNode, name = "mlx5_3"): Device {
  node.kernel.addFunction(OTHER_VF);
  return node.kernel.addDevice(OTHER_VF, 3, { name });
}

/** Asserts that nothing is recorded and the device is on the host under its own name. */
function assertAsBefore(node: TestNode): void {
  node.assertForgotten();
  assertEquals(node.device.name, "mlx5_2");
}

Deno.test("who does not ask for a name pays no rename and no list", async () => {
  using node = new TestNode();
  node.kernel.onRename = () => {
    throw new Error("renamed");
  };
  await node.succeed("ADD");
  assertEquals(node.kernel.listings, 0);
});

Deno.test("a device that is in the pod and called so already keeps its number", async () => {
  using node = new TestNode();
  Object.assign(node.device, { space: node.pod, name: "roce_0" });
  await node.succeed("ADD", { config: { rdmaDeviceName: "roce_{index}" } });
  assertEquals(places(node, node.device), [`${POD} roce_0`]);
});

Deno.test("a device that is in the pod already keeps a name that the record has, when the host has the one wanted", async () => {
  using node = new TestNode();
  node.device.space = node.pod;
  addOther(node, "rdma_net1");
  await node.succeed("ADD", { config: { ...NAMED.config, rdmaDeviceNameConflict: "keep" } });
  assertEquals([places(node, node.device), namesInRecord(node)], [[`${POD} mlx5_2`], ["mlx5_2 mlx5_2"]]);
});

Deno.test("a record from before the last boot does not tell who has a name", async () => {
  using node = new TestNode();
  addOther(node, "rdma_net1").space = node.kernel.addNetns("/run/netns/two");
  const netns = { path: "/run/netns/two", inode: 4026532002 };
  const devices = [{ index: 3, hostName: "mlx5_3", podName: "rdma_net1" }];
  node.write("net-two-net1", node.record({ deviceId: OTHER_VF, netns, devices, bootId: "boot-0" }));
  const { json } = await node.fail("ADD", 114, NAMED);
  assertStringIncludes(json.msg, "in no record");
});

Deno.test("a record of a pod that also has another function's device does not tell who has its name", async () => {
  using node = new TestNode();
  addOther(node, "rdma_net1").space = node.kernel.addNetns("/run/netns/two");
  node.kernel.addFunction("0000:3b:00.4");
  node.kernel.addDevice("0000:3b:00.4", 4);
  const variables = { CNI_NETNS: "/run/netns/two", CNI_CONTAINERID: "two" };
  await node.succeed("ADD", { variables, config: { deviceID: "0000:3b:00.4" } });
  const { json } = await node.fail("ADD", 114, NAMED);
  assertStringIncludes(json.msg, "in no record");
});

Deno.test("of two devices that both keep their names the record says so", async () => {
  using node = new TestNode();
  const second = node.kernel.addDevice(VF, 4);
  node.kernel.addFunction(OTHER_VF);
  for (const name of ["roce_0", "roce_1"]) {
    node.kernel.addDevice(OTHER_VF, name === "roce_0" ? 8 : 9, { name });
  }
  await node.succeed("ADD", { config: { rdmaDeviceName: "roce_{index}", rdmaDeviceNameConflict: "keep" } });
  assertEquals(places(node, node.device, second), [`${POD} mlx5_2`, `${POD} mlx5_4`]);
  assertEquals(namesInRecord(node), ["mlx5_2 mlx5_2", "mlx5_4 mlx5_4"]);
  await node.succeed("CHECK");
});

Deno.test("a rename that the kernel refuses for another reason is code 120 and rolled back, also with keep", async () => {
  using node = new TestNode();
  const { NetlinkError } = await import("../../src/netlink/error.ts");
  node.kernel.onRename = () => {
    throw new NetlinkError("rename RDMA device 2", EBUSY);
  };
  await node.fail("ADD", 120, { config: { ...NAMED.config, rdmaDeviceNameConflict: "keep" } });
  assertAsBefore(node);
});

// What fails after a rename.

Deno.test("when a name, a move or the result fails, all devices have their names back", async () => {
  const failures: [code: number, fail: (node: TestNode, second: Device) => Parts | void][] = [
    [114, (node) => void addOther(node, "roce_1")],
    [120, (node, second) => {
      node.kernel.onMove = (device) => device === second && device.space !== node.pod ? EBUSY : undefined;
    }],
    [120, (node) => {
      node.kernel.onMove = (device) => device.space === node.kernel.host ? EBUSY : undefined;
    }],
    [999, () => ({
      writeOutput: (text) => {
        if (text.includes("interfaces")) throw new Error("Broken pipe");
      },
    })],
  ];
  for (const [code, fail] of failures) {
    using node = new TestNode();
    const second = node.kernel.addDevice(VF, 4);
    const parts = fail(node, second) ?? {};
    const outcome = await node.call("ADD", { config: { rdmaDeviceName: "roce_{index}" }, ...parts });
    assertEquals([outcome.code, /"code":(\d+)/.exec(outcome.output)?.[1] ?? "999"], [1, `${code}`]);
    assertAsBefore(node);
    assertEquals(places(node, second), ["host mlx5_4"]);
  }
});

// Calls that are killed. A dead process does nothing any more, no rolling back either.

/** Lets the kernel do a number of renames and moves; before the next one the process dies. */
function killAfter(node: TestNode, orders: number): () => void {
  const { kernel } = node;
  const die = () => {
    if (orders-- > 0) return;
    kernel.getRdmaMode = () => {
      throw new Error("killed");
    };
    throw new Error("killed");
  };
  kernel.onRename = die;
  kernel.onMove = die;
  return () => {
    kernel.onRename = () => {};
    kernel.onMove = () => {};
    Reflect.deleteProperty(kernel, "getRdmaMode");
  };
}

const GC = {
  variables: { CNI_CONTAINERID: "", CNI_IFNAME: "" },
  config: { "cni.dev/valid-attachments": [] },
};

for (const [orders, where] of ["host mlx5_2", "host rdma_net1"].entries()) {
  for (const [command, parts] of [["DEL", {}], ["GC", GC]] as const) {
    Deno.test(`after an ADD that was killed with the device as "${where}" ${command} leaves all as before`, async () => {
      using node = new TestNode();
      const revive = killAfter(node, orders);
      assertEquals((await node.call("ADD", NAMED)).code, 1);
      assertEquals([...places(node, node.device), ...node.files()], [where, FILE]);
      revive();
      await node.succeed(command, parts);
      assertAsBefore(node);
    });
  }

  Deno.test(`an ADD that was killed with the device as "${where}" is made good by the next one`, async () => {
    using node = new TestNode();
    const revive = killAfter(node, orders);
    await node.call("ADD", NAMED);
    revive();
    await node.succeed("ADD", NAMED);
    assertEquals(places(node, node.device), [`${POD} rdma_net1`]);
    await node.succeed("CHECK");
    await node.succeed("DEL");
    assertAsBefore(node);
  });
}

for (const [orders, where] of [`${POD} rdma_net1`, `${POD} mlx5_2`].entries()) {
  for (const [command, parts] of [["DEL", {}], ["GC", GC]] as const) {
    Deno.test(`a ${command} that was killed with the device as "${where}" is made good by the next one`, async () => {
      using node = await namedNode();
      const revive = killAfter(node, orders);
      assertEquals((await node.call(command, parts)).code, 1);
      assertEquals([...places(node, node.device), ...node.files()], [where, FILE]);
      revive();
      await node.succeed(command, parts);
      assertAsBefore(node);
    });
  }
}

// Pods that ended without DEL, and whose function a new pod got.

/** A name as the driver makes them: then ADD does not look whether an earlier pod left it. */
const DRIVER_LIKE = { rdmaDeviceName: "mlx5_70" };

/** The first pod has ended, so its device is on the host under the pod's name, and a second one got it. */
async function takenOver(config: object): Promise<TestNode> {
  const node = new TestNode();
  await node.succeed("ADD", { config: DRIVER_LIKE });
  node.endNetns();
  node.kernel.addNetns("/run/netns/two");
  await node.succeed("ADD", second({ config }));
  return node;
}

const SECOND = "net-two-net1";
const second = (parts: Parts = {}) => ({
  ...parts,
  variables: { CNI_NETNS: "/run/netns/two", CNI_CONTAINERID: "two" },
});

for (
  const [what, config] of [
    ["asked for the same name", DRIVER_LIKE],
    ["asked for another name", { rdmaDeviceName: "roce0" }],
    ["asked for none", {}],
  ] as const
) {
  Deno.test(`a DEL that comes later than that of a newer pod that ${what} restores the first name`, async () => {
    using node = await takenOver(config);
    await node.succeed("DEL", second());
    await node.succeed("DEL");
    assertAsBefore(node);
  });
}

for (const later of [0, 1]) {
  Deno.test(`GC of two pods, the second ${later} µs younger, that had one device restores its first name`, async () => {
    using node = await takenOver({ rdmaDeviceName: "roce0" });
    const { bootTimeUs = 0 } = node.recorded(FILE);
    node.write(SECOND, { ...node.recorded(SECOND), bootTimeUs: bootTimeUs + later });
    await node.succeed("GC", GC);
    assertAsBefore(node);
  });
}

Deno.test("a late DEL that cannot tell the newer record the first name succeeds and says so", async () => {
  using node = await takenOver({ rdmaDeviceName: "roce0" });
  Deno.mkdirSync(`${node.directory}/.${SECOND}.tmp/full`, { recursive: true });
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "its devices keep the names that net-container1-net1 gave them");
  assertEquals(places(node, node.device), ["/run/netns/two roce0"]);
});

for (
  const [what, namesPerNetns, nameOnHost] of [
    ["the pod's name", false, "rdma_net1"],
    ["the kernel's, since the host has a device of the pod's", true, "ibdev2"],
  ] as const
) {
  for (const config of [{}, { rdmaDeviceName: "roce0" }]) {
    const { rdmaDeviceName = "mlx5_2" } = config as { rdmaDeviceName?: string };
    Deno.test(`an ADD of ${rdmaDeviceName} that meets a device under ${what} gives its own back first`, async () => {
      using node = await namedNode();
      node.kernel.namesPerNetns = namesPerNetns;
      if (namesPerNetns) addOther(node, "rdma_net1");
      node.endNetns();
      assertEquals(places(node, node.device), [`host ${nameOnHost}`]);
      node.kernel.addNetns("/run/netns/two");
      await node.succeed("ADD", second({ config }));
      assertEquals(places(node, node.device), [`/run/netns/two ${rdmaDeviceName}`]);
      assertEquals([node.files(), namesInRecord(node, SECOND)], [[SECOND], [`mlx5_2 ${rdmaDeviceName}`]]);
      await node.succeed("DEL", second());
      assertAsBefore(node);
    });
  }
}

Deno.test("an index that was remembered by a name counts only for the device that has the name", async () => {
  using node = new TestNode();
  node.kernel.devices.splice(0, 1);
  const device = node.kernel.addDevice(VF, 11, { name: "mlx5_2", uverbs: "uverbs2" });
  const stranger = addOther(node);
  await node.succeed("ADD", NAMED);
  await node.succeed("DEL");
  assertEquals([node.indexes.get("mlx5_2"), ...places(node, device)], ["11", "host mlx5_2"]);
  device.name = "roce0";
  stranger.name = "mlx5_2";
  await node.succeed("ADD", {
    variables: { CNI_IFNAME: "net2" },
    config: { deviceID: OTHER_VF, rdmaDeviceName: "rdma_net2" },
  });
  assertEquals(places(node, device, stranger), ["host roce0", `${POD} rdma_net2`]);
});

// Linux 7.3 keeps the names of each namespace apart; tests/scenarios/names_per_netns.ts has the rest.

/** A node of Linux 7.3, on which another function has a device of that name, on the host or in the pod. */
function nodeWithNamespacedNames(name: string, where: "host" | "pod"): TestNode & { other: Device } {
  const node = new TestNode();
  node.kernel.namesPerNetns = true;
  const other = addOther(node, name);
  if (where === "pod") other.space = node.pod;
  return Object.assign(node, { other });
}

for (const config of [{ rdmaDeviceName: "mlx5_{index}" }, { rdmaDeviceName: "mlx5_0" }]) {
  Deno.test(`names per namespace: a pod gets ${config.rdmaDeviceName} although the host has an mlx5_0`, async () => {
    using node = nodeWithNamespacedNames("mlx5_0", "host");
    await node.succeed("ADD", { config });
    assertEquals(places(node, node.device, node.other), [`${POD} mlx5_0`, "host mlx5_0"]);
    assertEquals(namesInRecord(node), ["mlx5_2 mlx5_0"]);
    await node.succeed("CHECK");
    await node.succeed("DEL");
    assertAsBefore(node);
  });
}

Deno.test("names per namespace: {index} counts in the pod", async () => {
  using node = nodeWithNamespacedNames("mlx5_0", "pod");
  await node.succeed("ADD", { config: { rdmaDeviceName: "mlx5_{index}" } });
  assertEquals(places(node, node.device), [`${POD} mlx5_1`]);
});

Deno.test("names per namespace: a name that the pod has is refused before anything is done", async () => {
  using node = nodeWithNamespacedNames("rdma_net1", "pod");
  node.kernel.onMove = () => {
    throw new Error("moved");
  };
  await node.fail("ADD", 114, NAMED);
  assertAsBefore(node);
  node.kernel.onMove = () => {};
  await node.succeed("ADD", { config: { ...NAMED.config, rdmaDeviceNameConflict: "keep" } });
  assertEquals(places(node, node.device), [`${POD} mlx5_2`]);
});

Deno.test("names per namespace: two devices of one function, one in the pod, are told apart", async () => {
  using node = nodeWithNamespacedNames("mlx5_7", "pod");
  const second = node.kernel.addDevice(node.device.deviceId, 9, { name: "mlx5_9" });
  await node.succeed("ADD", { config: { rdmaDeviceName: "mlx5_{index}" } });
  assertEquals(places(node, node.device, second), [`${POD} mlx5_0`, `${POD} mlx5_1`]);
  await node.succeed("DEL");
  assertEquals(places(node, node.device, second), ["host mlx5_2", "host mlx5_9"]);
});
