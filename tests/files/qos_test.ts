// RoCE QoS by the configuration key rdmaQoS: what ADD gives the devices, and that the host gets back what it had.
import type { Device } from "../rig/memory/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { brokenPipe } from "../support/call.ts";

const CONFIG = { rdmaQoS: { tos: 104, trafficClass: 106 } };
const NAMED = { ...CONFIG, rdmaDeviceName: "rdma_{ifname}" };
const HOST = { trafficClass: [-1], tos: [32] };
const IN_POD = { trafficClass: [106], tos: [104] };
/** Of two ports. */
const PORTS = { trafficClass: [1, -1], tos: [3, 4] };
const NONE_VALID = { config: { "cni.dev/valid-attachments": [] } };
const SECOND = { CNI_CONTAINERID: "container2" };
const OTHER_VF = "0000:3b:00.7";

type Parts = Parameters<TestNode["call"]>[1];
type Qos = NonNullable<Device["qos"]>;

class QosNode extends TestNode {
  readonly groups = this.kernel.roceQos.groups;
  readonly recordedQos = () => this.recorded().devices.map(({ qos }) => qos);

  constructor(qos: Qos = HOST) {
    super();
    Object.assign(this.device, { qos: structuredClone(qos) });
  }

  static override async added(): Promise<QosNode> {
    const node = new QosNode();
    await node.succeed("ADD", { config: CONFIG });
    return node;
  }

  addDevice(index: number, qos: Qos = HOST): Device {
    return this.kernel.addDevice(VF, index, { qos: structuredClone(qos) });
  }

  addOther(more: Partial<Device>): Device {
    this.kernel.addFunction(OTHER_VF);
    return this.kernel.addDevice(OTHER_VF, 7, more);
  }

  /** The pod ends without a DEL, and the path is that of the next one. */
  replacePod(): void {
    this.endNetns();
    this.kernel.addNetns(POD, 7, "7");
  }

  /** Nothing is recorded, and the device has on the host what it had, its name too. */
  assertRestored(qos: Qos = HOST): void {
    this.assertForgotten();
    assertEquals([this.device.name, this.device.qos], ["mlx5_2", qos]);
  }
}

Deno.test("ADD sets both, and DEL gives the host back what it had; the record is there from before the first to after the last", async () => {
  using node = new QosNode();
  const seen: unknown[] = [];
  node.kernel.roceQos.onWrite = () => void seen.push(node.recordedQos());
  node.kernel.onRename = () => void seen.push("renamed");
  await node.succeed("ADD", { config: CONFIG });
  assertEquals([node.whereIs(node.device), node.device.qos], [POD, IN_POD]);
  await node.succeed("DEL", { config: CONFIG });
  node.assertRestored();
  assertEquals(seen, Array(4).fill([{ ...HOST, hadGroup: false }]));
});

for (
  const [what, rdmaQoS, before, inPod, warnings = 0] of [
    ["every port is set", CONFIG.rdmaQoS, PORTS, { trafficClass: [106, 106], tos: [104, 104] }],
    ["the traffic class alone", { trafficClass: 0 }, { trafficClass: [7] }, { trafficClass: [0] }],
    ["tos alone", { tos: 104 }, { tos: [32] }, { tos: [104] }],
    ["tc of a device with a traffic class", { tos: 104, tc: 106 }, HOST, IN_POD],
    ["tc of one without, which is a warning", { tos: 104, tc: 106 }, { tos: [32] }, { tos: [104] }, 1],
  ] as [string, object, Qos, Qos, number?][]
) {
  Deno.test(`each device gets its own QoS back: ${what}`, async () => {
    using node = new QosNode(before);
    const other = node.addDevice(3, before);
    const { lines } = await node.succeed("ADD", { config: { rdmaQoS } });
    const recorded = before.tos ? { ...before, hadGroup: false } : before;
    assertEquals([node.device.qos, other.qos, ...node.recordedQos()], [inPod, inPod, recorded, recorded]);
    const told = /level="warning".*trafficClass.*rdmaQoS\.tc allows/;
    assertEquals(lines.filter((line) => told.test(line)).length, warnings);
    await node.succeed("DEL");
    node.assertRestored(before);
    assertEquals(other.qos, before);
  });
}

Deno.test("inherit: every port of every device keeps the host's values in the pod and back", async () => {
  using node = new QosNode(PORTS);
  const other = node.addDevice(3);
  for (const command of ["ADD", "ADD", "DEL"]) {
    await node.succeed(command, { config: { rdmaQoS: "inherit" } });
    const where = command === "ADD" ? POD : "host";
    assertEquals([node.whereIs(node.device), node.device.qos, other.qos], [where, PORTS, HOST]);
  }
  node.assertForgotten();
});

for (const setting of ["trafficClass", "tos"] as const) {
  Deno.test(`a device without ${setting} is code 103, and nothing is changed`, async () => {
    const { [setting]: _, ...qos } = HOST;
    using node = new QosNode(qos);
    node.kernel.onMove = () => {
      throw new Error("moved");
    };
    const { json } = await node.fail("ADD", 103, { config: CONFIG });
    assertStringIncludes(json.msg, setting);
    assertStringIncludes(json.details, `take ${setting} out`);
    node.assertRestored(qos);
  });
}

/** The kernel refuses a setting of a second device, once. */
const refuseSecond = (setting: string) => (node: QosNode) => {
  const other = node.addDevice(3);
  let refusals = 1;
  node.kernel.roceQos.onWrite = (what, device) => what === setting && device === other && refusals-- > 0;
};

for (
  const [what, code, config, spoil] of [
    ["the second device's traffic class is refused", 103, CONFIG, refuseSecond("trafficClass")],
    ["the second device's ToS is refused", 103, CONFIG, refuseSecond("tos")],
    ["the device cannot be moved", 120, CONFIG, (node) => node.kernel.onMove = () => 16],
    ["its name is taken", 114, NAMED, (node) => node.addOther({ name: "rdma_net1" })],
    ["the result cannot be printed", undefined, CONFIG, () => {}],
  ] as [string, number | undefined, object, (node: QosNode) => unknown][]
) {
  Deno.test(`ADD fails, and the host has back what it had, when ${what}`, async () => {
    using node = new QosNode();
    spoil(node);
    if (code) await node.fail("ADD", code, { config });
    else assertEquals((await node.call("ADD", { config, writeOutput: brokenPipe })).code, 1);
    node.assertRestored();
  });
}

for (
  const [what, command, parts, happens] of [
    ["GC comes", "GC", NONE_VALID, () => {}],
    ["the device returned", "DEL", { variables: { CNI_NETNS: undefined } }, (node) => node.endNetns()],
    ["ADD is repeated, since one before may not have come to the ToS", "DEL", {}, async (node) => {
      node.device.qos!.tos![0] = 0;
      await node.succeed("ADD", { config: CONFIG });
      assertEquals(node.device.qos, IN_POD);
    }],
    ["the device gets a name of its own in the pod", "DEL", {}, async (node) => {
      await node.succeed("DEL");
      await node.succeed("ADD", { config: NAMED });
      assertEquals([node.device.name, node.device.qos], ["rdma_net1", IN_POD]);
    }],
    ["a newer attachment of the function has another device", "DEL", { variables: SECOND }, async (node) => {
      node.replacePod();
      node.addDevice(3);
      await node.succeed("ADD", { variables: SECOND, config: { rdmaDevices: ["mlx5_3"] } });
      await node.succeed("DEL");
      assertEquals(node.device.qos, HOST);
    }],
    ["GC finds two attachments that had it one after the other", "GC", NONE_VALID, async (node) => {
      node.endNetns();
      node.kernel.endNetns(node.kernel.addNetns(POD, 7, "7"));
      await node.succeed("ADD", { variables: SECOND, config: { rdmaQoS: { trafficClass: 8 } } });
    }],
  ] as [string, string, Parts, (node: QosNode) => unknown][]
) {
  Deno.test(`the host gets back what it had when ${what}`, async () => {
    using node = await QosNode.added();
    await happens(node);
    await node.succeed(command, parts);
    node.assertRestored();
  });
}

for (
  const config of [{}, { rdmaQoS: { trafficClass: 8, tos: 9 } }, { ...NAMED, rdmaDeviceName: "roce_{index}" }]
) {
  for (const order of [["container1", "container2"], ["container2", "container1"]]) {
    Deno.test(`a pod with ${JSON.stringify(config)} gets a dead pod's device: DEL of ${order} restores the host's`, async () => {
      using node = new QosNode();
      await node.succeed("ADD", { config: "rdmaDeviceName" in config ? NAMED : CONFIG });
      node.replacePod();
      await node.succeed("ADD", { variables: SECOND, config });
      for (const container of order) await node.succeed("DEL", { variables: { CNI_CONTAINERID: container } });
      node.assertRestored();
    });
  }
}

Deno.test("a late DEL leaves the QoS of a device alone that a newer attachment has beside another", async () => {
  using node = await QosNode.added();
  node.replacePod();
  const other = node.addDevice(1);
  await node.succeed("ADD", { variables: SECOND });
  for (const device of [other, node.device]) device.space = node.kernel.host; // as before that ADD has moved them
  node.device.qos!.tos![0] = 7;
  await node.succeed("DEL");
  assertEquals(node.device.qos, { trafficClass: [106], tos: [7] });
});

Deno.test("a device that has another name by now gets its QoS back", async () => {
  using node = await QosNode.added();
  node.device.name = "roce0";
  node.addOther({ name: "mlx5_2" });
  await node.succeed("DEL");
  assertEquals([node.device.name, node.device.qos], ["mlx5_0", HOST]);
  node.assertForgotten();
});

Deno.test("names per namespace: the ToS of another device of the same name is left alone", async () => {
  using node = new QosNode();
  node.kernel.namesPerNetns = true;
  node.kernel.devices.splice(0);
  const space = node.kernel.addNetns("/run/netns/stranger");
  const other = node.addOther({ name: "mlx5_2", qos: { tos: [7] }, space });
  const device = node.addDevice(2, { tos: [3] });
  const found = () => [device.qos, other.qos, device.name, other.name];
  await node.succeed("ADD", { config: { rdmaQoS: { tos: 96 } } });
  assertEquals(found(), [{ tos: [96] }, { tos: [7] }, "mlx5_2", "mlx5_2"]);
  await node.succeed("DEL");
  assertEquals(found(), [{ tos: [3] }, { tos: [7] }, "mlx5_2", "mlx5_2"]);
});

Deno.test("DEL succeeds for a device that is gone, and says that its QoS is not restored", async () => {
  using node = await QosNode.added();
  node.kernel.devices.splice(0);
  const renewed = node.addDevice(9);
  renewed.name = "mlx5_2";
  const { lines } = await node.succeed("DEL");
  assertEquals(lines.filter((line) => /level="warning".*its QoS is not restored/.test(line)).length, 1);
  assertEquals([renewed.qos, node.files()], [HOST, []]);
});

Deno.test("DEL succeeds when the kernel refuses the old values, and says so", async () => {
  using node = await QosNode.added();
  node.kernel.roceQos.onWrite = (setting) => setting === "trafficClass";
  assertStringIncludes((await node.succeed("DEL")).lines.join(""), "it keeps that of the pod");
  node.assertRestored({ trafficClass: [106], tos: [32] });
});

// A group is a directory of configfs. It goes with DEL unless the host had it before.

for (const hadGroup of [false, true]) {
  for (const podName of ["mlx5_2", "rdma_net1"]) {
    Deno.test(`groups that an ADD left which died, the device named ${podName}: the host's stays: ${hadGroup}`, async () => {
      using node = new QosNode();
      const devices = [{ index: 2, hostName: "mlx5_2", podName, qos: { hadGroup } }];
      node.write(FILE, node.record({ devices }));
      node.device.name = podName;
      node.groups.add(podName).add("mlx5_2");
      await node.succeed("DEL");
      assertEquals([...node.groups], hadGroup ? ["mlx5_2"] : []);
      node.assertRestored();
    });
  }
}

Deno.test("a group that somebody made stays through ADD and DEL", async () => {
  using node = new QosNode();
  node.groups.add("mlx5_2");
  for (const command of ["ADD", "DEL"]) await node.succeed(command, { config: CONFIG });
  assertEquals([...node.groups], ["mlx5_2"]);
});

Deno.test("DEL of a pod that NVIDIA's fork of the Go plugin started restores what the host had", async () => {
  using node = new QosNode(IN_POD);
  Object.assign(node.device, { name: "custom", space: node.pod });
  const names = { sandboxRdmaDevName: "mlx5_2", containerRdmaDevName: "custom" };
  node.write(FILE, JSON.stringify({ version: "1.0", deviceID: VF, ...names, rdmaQoS: { tos: 32, tc: 0 } }));
  await node.succeed("DEL");
  node.assertRestored();
});
