// RoCE QoS by the configuration key rdmaQoS: what ADD gives the devices, and that the host gets back what it had.
import type { RecordedQos } from "../../src/plugin/record/record.ts";
import type { Device } from "../rig/memory/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { brokenPipe } from "../support/call.ts";

const CONFIG = { rdmaQoS: { tos: 104, trafficClass: 106 } };
const HOST = { trafficClass: [-1], tos: [32] };
const IN_POD = { trafficClass: [106], tos: [104] };
/** What a device has that returned to the host without anybody restoring its QoS. */
const LEFT = { trafficClass: [106], tos: [0] };

/** A node whose device has QoS. */
function nodeWithQos(qos: Device["qos"] = structuredClone(HOST)): TestNode {
  const node = new TestNode();
  Object.assign(node.device, { qos });
  return node;
}

async function addedNode(qos?: Device["qos"]): Promise<TestNode> {
  const node = nodeWithQos(qos);
  await node.succeed("ADD", { config: CONFIG });
  return node;
}

/** The pod ends without a DEL, and the path is that of the next one. */
function replacePod(node: TestNode): void {
  node.endNetns();
  node.kernel.addNetns(POD, 7, "7");
}

const recorded = (node: TestNode) => node.recorded().devices.map(({ qos }) => qos);

Deno.test("ADD sets both, and DEL gives the host back what it had", async () => {
  using node = await addedNode();
  assertEquals([node.whereIs(node.device), node.device.qos], [POD, IN_POD]);
  assertEquals(recorded(node), [{ ...HOST, hadGroup: false }]);
  const renames: string[] = [];
  node.kernel.onRename = (_, name) => void renames.push(name);
  await node.succeed("DEL", { config: CONFIG });
  assertEquals([node.device.qos, renames], [HOST, []]);
  node.assertForgotten();
});

Deno.test("every port of every device is set, and gets its own value back", async () => {
  using node = nodeWithQos({ trafficClass: [1, -1], tos: [3, 4] });
  const other = node.kernel.addDevice(VF, 3, { qos: { trafficClass: [5], tos: [6] } });
  await node.succeed("ADD", { config: CONFIG });
  assertEquals([node.device.qos, other.qos], [{ trafficClass: [106, 106], tos: [104, 104] }, IN_POD]);
  await node.succeed("DEL");
  assertEquals([node.device.qos, other.qos], [{ trafficClass: [1, -1], tos: [3, 4] }, {
    trafficClass: [5],
    tos: [6],
  }]);
});

Deno.test("one setting alone leaves the other as it is", async () => {
  using node = nodeWithQos({ trafficClass: [7] });
  await node.succeed("ADD", { config: { rdmaQoS: { trafficClass: 0 } } });
  assertEquals([node.device.qos, recorded(node)], [{ trafficClass: [0] }, [{ trafficClass: [7] }]]);
  await node.succeed("DEL");
  assertEquals(node.device.qos, { trafficClass: [7] });

  using later = nodeWithQos({ tos: [32] });
  await later.succeed("ADD", { config: { rdmaQoS: { tos: 104 } } });
  assertEquals(later.device.qos, { tos: [104] });
  await later.succeed("DEL");
  assertEquals(later.device.qos, { tos: [32] });
});

for (const setting of ["trafficClass", "tos"] as const) {
  Deno.test(`a device without ${setting} is code 103, and nothing is changed`, async () => {
    const qos = structuredClone(HOST);
    delete (qos as Device["qos"])![setting];
    using node = nodeWithQos({ ...qos });
    node.kernel.onMove = () => {
      throw new Error("moved");
    };
    const { json } = await node.fail("ADD", 103, { config: CONFIG });
    assertStringIncludes(json.msg, setting);
    assertStringIncludes(json.details, `take ${setting} out`);
    assertEquals(node.device.qos, { ...qos });
    node.assertForgotten();
  });

  Deno.test(`when ${setting} of the second device is refused, the first gets its own back`, async () => {
    using node = nodeWithQos();
    const other = node.kernel.addDevice(VF, 3, { qos: structuredClone(HOST) });
    let refusals = 1;
    node.kernel.roceQos.onWrite = (what, device) => what === setting && device === other && refusals-- > 0;
    await node.fail("ADD", 103, { config: CONFIG });
    assertEquals([node.device.qos, node.whereIs(other)], [HOST, "host"]);
    node.assertForgotten();
  });
}

Deno.test("a device without tc has none in the pod, with a warning", async () => {
  using node = nodeWithQos({ tos: [32] });
  const { lines } = await node.succeed("ADD", { config: { rdmaQoS: { tos: 104, tc: 106 } } });
  assertEquals(
    lines.filter((line) => /level="warning".*trafficClass.*rdmaQoS\.tc allows/.test(line)).length,
    1,
  );
  assertEquals([node.device.qos, recorded(node)], [{ tos: [104] }, [{ tos: [32], hadGroup: false }]]);
  await node.succeed("DEL");
  assertEquals(node.device.qos, { tos: [32] });
});

Deno.test("tc sets the traffic class of a device that has one", async () => {
  using node = nodeWithQos();
  await node.succeed("ADD", { config: { rdmaQoS: { tos: 104, tc: 106 } } });
  assertEquals(node.device.qos, IN_POD);
  await node.succeed("DEL");
  assertEquals(node.device.qos, HOST);
});

Deno.test("inherit: every port of every device keeps the host's values in the pod and back", async () => {
  using node = nodeWithQos({ trafficClass: [1, -1], tos: [3, 4] });
  const other = node.kernel.addDevice(VF, 3, { qos: structuredClone(HOST) });
  const config = { rdmaQoS: "inherit" };
  await node.succeed("ADD", { config });
  const kept = [{ trafficClass: [1, -1], tos: [3, 4] }, HOST];
  assertEquals([node.whereIs(node.device), node.device.qos, other.qos], [POD, ...kept]);
  await node.succeed("ADD", { config });
  assertEquals([node.device.qos, other.qos], kept);
  await node.succeed("DEL");
  assertEquals([node.device.qos, other.qos], kept);
  node.assertForgotten();
});

/** As NVIDIA's fork of the Go plugin writes it. */
const FORK_RECORD = {
  version: "1.0",
  deviceID: VF,
  sandboxRdmaDevName: "mlx5_2",
  rdmaQoS: { tos: 32, tc: 0 },
};

for (const name of ["mlx5_2", "custom"]) {
  Deno.test(`a pod that NVIDIA's fork started, its device called ${name}: DEL restores what the host had`, async () => {
    using node = nodeWithQos(structuredClone(IN_POD));
    Object.assign(node.device, { name, space: node.pod });
    node.write(FILE, JSON.stringify({ ...FORK_RECORD, containerRdmaDevName: name }));
    await node.succeed("DEL");
    assertEquals([node.whereIs(node.device), node.device.name, node.device.qos], ["host", "mlx5_2", HOST]);
    node.assertForgotten();
  });
}

Deno.test("a device of NVIDIA's fork that is gone: DEL succeeds, and leaves the one of another function alone", async () => {
  using node = nodeWithQos(structuredClone(IN_POD));
  node.kernel.devices.splice(0);
  node.kernel.addFunction("0000:3b:00.7");
  const other = node.kernel.addDevice("0000:3b:00.7", 7, { name: "mlx5_7", qos: structuredClone(IN_POD) });
  node.write(FILE, JSON.stringify({ ...FORK_RECORD, containerRdmaDevName: "mlx5_2" }));
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "RDMA device mlx5_2 is not on the host: its QoS is not restored");
  assertEquals(other.qos, IN_POD);
});

Deno.test("when the result cannot be printed, the host has back what it had", async () => {
  using node = nodeWithQos();
  await node.call("ADD", { config: CONFIG, writeOutput: brokenPipe });
  assertEquals(node.device.qos, HOST);
  node.assertForgotten();
});

Deno.test("when the device cannot be moved, the host has back what it had", async () => {
  using node = nodeWithQos();
  node.kernel.onMove = () => 16;
  await node.fail("ADD", 120, { config: CONFIG });
  assertEquals(node.device.qos, HOST);
  node.assertForgotten();
});

Deno.test("before anything is changed the record has what the host had", async () => {
  using node = nodeWithQos();
  const seen: unknown[] = [];
  node.kernel.roceQos.onWrite = () => {
    seen.push(recorded(node));
  };
  await node.succeed("ADD", { config: CONFIG });
  assertEquals(seen, Array(2).fill([{ ...HOST, hadGroup: false }]));
});

Deno.test("the record stays until all is restored, so that a DEL that dies is made good by the next", async () => {
  using node = await addedNode();
  const seen: string[][] = [];
  node.kernel.roceQos.onWrite = () => {
    seen.push(node.files());
  };
  await node.succeed("DEL");
  assertEquals(seen, Array(2).fill([".holder", FILE]));
});

Deno.test("GC restores too", async () => {
  using node = await addedNode();
  await node.succeed("GC", { config: { "cni.dev/valid-attachments": [] } });
  assertEquals(node.device.qos, HOST);
  node.assertForgotten();
});

Deno.test("a device that returned to the host by itself gets its QoS back by DEL", async () => {
  using node = await addedNode();
  node.endNetns();
  assertEquals(node.device.qos, LEFT);
  await node.succeed("DEL", { variables: { CNI_NETNS: undefined } });
  assertEquals(node.device.qos, HOST);
  node.assertForgotten();
});

Deno.test("a device that has another name by now gets its QoS back", async () => {
  using node = await addedNode();
  node.device.name = "roce0";
  node.kernel.addDevice("0000:3b:00.7", 7, { name: "mlx5_2" });
  await node.succeed("DEL");
  assertEquals([node.device.name, node.device.qos], ["mlx5_0", HOST]);
  node.assertForgotten();
});

Deno.test("names per namespace: the ToS of another device of the same name is left alone", async () => {
  using node = new TestNode();
  node.kernel.namesPerNetns = true;
  node.kernel.devices.splice(0);
  const stranger = node.kernel.addNetns("/run/netns/stranger");
  const other = node.kernel.addDevice("0000:3b:00.7", 7, {
    name: "mlx5_2",
    qos: { tos: [7] },
    space: stranger,
  });
  const device = node.kernel.addDevice(VF, 2, { qos: { tos: [3] } });
  await node.succeed("ADD", { config: { rdmaQoS: { tos: 96 } } });
  assertEquals([device.qos, other.qos, device.name], [{ tos: [96] }, { tos: [7] }, "mlx5_2"]);
  await node.succeed("DEL");
  assertEquals([device.qos, other.qos, device.name, other.name], [
    { tos: [3] },
    { tos: [7] },
    "mlx5_2",
    "mlx5_2",
  ]);
});

Deno.test("DEL succeeds for a device that is gone, and says that its QoS is not restored", async () => {
  using node = await addedNode();
  node.kernel.devices.splice(0);
  const renewed = node.kernel.addDevice(VF, 9, { name: "mlx5_2", qos: { trafficClass: [-1], tos: [0] } });
  const { lines } = await node.succeed("DEL");
  assertEquals(lines.filter((line) => /level="warning".*its QoS is not restored/.test(line)).length, 1);
  assertEquals([renewed.qos, node.files()], [{ trafficClass: [-1], tos: [0] }, []]);
});

Deno.test("DEL succeeds when the kernel refuses the old values, and says so", async () => {
  using node = await addedNode();
  node.kernel.roceQos.onWrite = (setting) => setting === "trafficClass";
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "it keeps that of the pod");
  assertEquals(node.device.qos, { trafficClass: [106], tos: [32] });
  node.assertForgotten();
});

for (const { hadGroup, left } of [{ hadGroup: false, left: [] }, { hadGroup: true, left: ["mlx5_2"] }]) {
  Deno.test(`a group that ${hadGroup ? "was" : "was not"} there before an ADD that died is ${left.length} after DEL`, async () => {
    using node = nodeWithQos();
    const qos: RecordedQos = { hadGroup };
    node.write(FILE, node.record({ devices: [{ index: 2, hostName: "mlx5_2", podName: "mlx5_2", qos }] }));
    node.kernel.roceQos.groups.add("mlx5_2");
    await node.succeed("DEL");
    assertEquals([[...node.kernel.roceQos.groups], node.device.qos], [left, HOST]);
    node.assertForgotten();
  });
}

Deno.test("a group that somebody made stays through ADD and DEL", async () => {
  using node = nodeWithQos();
  node.kernel.roceQos.groups.add("mlx5_2");
  await node.succeed("ADD", { config: CONFIG });
  await node.succeed("DEL");
  assertEquals([...node.kernel.roceQos.groups], ["mlx5_2"]);
});

Deno.test("an ADD that is repeated sets the ToS, which the one before may not have come to", async () => {
  using node = await addedNode();
  node.device.qos!.tos![0] = 0;
  await node.succeed("ADD", { config: CONFIG });
  assertEquals(node.device.qos, IN_POD);
  await node.succeed("DEL");
  assertEquals(node.device.qos, HOST);
});

for (const rdmaQoS of [undefined, { trafficClass: 8, tos: 9 }]) {
  for (const order of [["container1", "container2"], ["container2", "container1"]]) {
    const what = rdmaQoS ? "other QoS" : "no QoS";
    Deno.test(`a pod with ${what} that gets a dead pod's device: DEL of ${order} restores the host's`, async () => {
      using node = await addedNode();
      replacePod(node);
      const variables = { CNI_CONTAINERID: "container2" };
      await node.succeed("ADD", { variables, config: { rdmaQoS } });
      for (const container of order) {
        await node.succeed("DEL", { variables: { CNI_CONTAINERID: container } });
      }
      assertEquals(node.device.qos, HOST);
      node.assertForgotten();
    });
  }
}

Deno.test("a newer attachment of the same function without this device leaves it to the old one's DEL", async () => {
  using node = await addedNode();
  replacePod(node);
  node.kernel.addDevice(VF, 3);
  const variables = { CNI_CONTAINERID: "container2" };
  await node.succeed("ADD", { variables, config: { rdmaDevices: ["mlx5_3"] } });
  await node.succeed("DEL");
  assertEquals(node.device.qos, HOST);
});

Deno.test("a late DEL leaves the QoS of a device alone that a newer attachment has beside another", async () => {
  using node = await addedNode();
  replacePod(node);
  const other = node.kernel.addDevice(VF, 1, { qos: structuredClone(HOST) });
  await node.succeed("ADD", { variables: { CNI_CONTAINERID: "container2" } });
  for (const device of [other, node.device]) device.space = node.kernel.host; // as before that ADD has moved them
  node.device.qos!.tos![0] = 7;
  await node.succeed("DEL");
  assertEquals(node.device.qos, { trafficClass: [106], tos: [7] });
});

Deno.test("GC of two attachments that had the device one after the other restores the host's", async () => {
  using node = await addedNode();
  node.endNetns();
  node.kernel.endNetns(node.kernel.addNetns(POD, 7, "7"));
  await node.succeed("ADD", {
    variables: { CNI_CONTAINERID: "container2" },
    config: { rdmaQoS: { trafficClass: 8 } },
  });
  await node.succeed("GC", { config: { "cni.dev/valid-attachments": [] } });
  assertEquals(node.device.qos, HOST);
  node.assertForgotten();
});

Deno.test("a device that has a name of its own in the pod has the QoS there, and on the host its own again", async () => {
  using node = nodeWithQos();
  await node.succeed("ADD", { config: { ...CONFIG, rdmaDeviceName: "rdma_{ifname}" } });
  assertEquals([node.device.name, node.device.qos], ["rdma_net1", IN_POD]);
  await node.succeed("DEL");
  assertEquals([node.device.name, node.device.qos], ["mlx5_2", HOST]);
  node.assertForgotten();
});

Deno.test("a pod that is the host by CNI_NETNS_OVERRIDE has the QoS until DEL", async () => {
  using node = nodeWithQos();
  const variables = { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" };
  await node.succeed("ADD", { variables, config: CONFIG });
  assertEquals(node.device.qos, IN_POD);
  await node.succeed("DEL", { variables });
  assertEquals(node.device.qos, HOST);
});

const NAMED = { ...CONFIG, rdmaDeviceName: "rdma_{ifname}" };

Deno.test("when a name is taken the host has back the QoS that it had", async () => {
  using node = nodeWithQos();
  node.kernel.addFunction("0000:3b:00.3");
  node.kernel.addDevice("0000:3b:00.3", 3, { name: "rdma_net1" });
  await node.fail("ADD", 114, { config: NAMED });
  assertEquals([node.device.name, node.device.qos], ["mlx5_2", HOST]);
  node.assertForgotten();
});

for (const hadGroup of [false, true]) {
  Deno.test(`a group under the pod's name that an ADD left which died goes, ${hadGroup} for the host's`, async () => {
    using node = nodeWithQos();
    const devices = [{ index: 2, hostName: "mlx5_2", podName: "rdma_net1", qos: { hadGroup } }];
    node.write(FILE, node.record({ devices }));
    node.device.name = "rdma_net1";
    node.kernel.roceQos.groups.add("rdma_net1").add("mlx5_2");
    await node.succeed("DEL");
    assertEquals([...node.kernel.roceQos.groups], hadGroup ? ["mlx5_2"] : []);
    assertEquals(node.device.name, "mlx5_2");
  });
}

for (const order of [["container1", "container2"], ["container2", "container1"]]) {
  Deno.test(`a named device of a dead pod that the next gets is as before when ${order} are deleted`, async () => {
    using node = nodeWithQos();
    await node.succeed("ADD", { config: NAMED });
    replacePod(node);
    const config = { rdmaQoS: { trafficClass: 8, tos: 9 }, rdmaDeviceName: "roce_{index}" };
    await node.succeed("ADD", { variables: { CNI_CONTAINERID: "container2" }, config });
    assertEquals(node.device.name, "roce_0");
    for (const container of order) {
      await node.succeed("DEL", { variables: { CNI_CONTAINERID: container } });
    }
    assertEquals([node.device.name, node.device.qos], ["mlx5_2", HOST]);
    node.assertForgotten();
  });
}
