// Soft-RoCE devices, on a kernel in memory that is like Linux 7.3 but for the tests that say otherwise.
import { collectGarbage } from "../../src/cli/gc.ts";
import { NetlinkError } from "../../src/netlink/error.ts";
import { EBUSY, EEXIST, ENODEV, EPERM } from "../../src/sys/errno.ts";
import { type Device, MemoryKernel, type Space } from "../rig/memory/kernel.ts";
import { FILE, HELD, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { brokenPipe, PREV_RESULT } from "../support/call.ts";

const CONFIG = { deviceID: undefined, softRoCE: true };

/** Where an ADD may end, in its order. */
const STEPS = ["onSoftRoce", "onMove", "the second record", "onRename"] as const;
type Step = typeof STEPS[number];

/** A node on which calls are about Soft-RoCE devices unless they say otherwise. */
class SoftNode extends TestNode {
  constructor() {
    super();
    this.kernel.namesPerNetns = true;
  }

  static override async added(): Promise<SoftNode> {
    const node = new SoftNode();
    await node.succeed("ADD");
    return node;
  }

  override call(command: string, { config, ...parts }: Parameters<TestNode["call"]>[1] = {}) {
    return super.call(command, { ...parts, config: { ...CONFIG, ...config } });
  }

  /** The Soft-RoCE devices that there are, each by name and place. */
  made(): string[] {
    return this.softDevices().map((device) => `${device.name} ${this.whereIs(device)}`);
  }

  softDevices(): Device[] {
    return this.kernel.devices.filter(({ netdev }) => netdev);
  }

  assertClean(): void {
    assertEquals({ made: this.made(), files: this.files() }, { made: [], files: [] });
  }

  /** Another pod with an interface. */
  addPod(path: string): Space {
    const space = this.kernel.addNetns(path);
    space.links.set("net1", { index: 2, name: "net1", isInfiniBand: false, vfMacs: new Map() });
    return space;
  }

  /** What a crash at the end of a step leaves: nothing of the call runs any more, only the files and the kernel stay. */
  async crash(step: Step): Promise<void> {
    const { kernel, state } = this;
    const { save, remove } = state;
    const die = () => {
      kernel.onSoftRoceRemoval = () => EBUSY;
      state.remove = () => {};
      throw new NetlinkError("die", EBUSY);
    };
    if (step === "the second record") {
      state.save = (record) => record.devices.some(({ index }) => index) ? die() : save.call(state, record);
    } else kernel[step] = die;
    await this.fail("ADD", 120);
    Object.assign(kernel, { onSoftRoce: () => {}, onMove: () => {}, onRename: () => {} });
    kernel.onSoftRoceRemoval = () => {};
    Object.assign(state, { save, remove });
    assertEquals(this.files(), [FILE]);
  }
}

Deno.test("ADD makes a device on the pod's interface, moves it in, records it and prints the result it got", async () => {
  using node = new SoftNode();
  const { json, lines } = await node.succeed("ADD");
  assertEquals(json, PREV_RESULT);
  assertEquals(node.made(), [`rxe0 ${POD}`]);
  const [device] = node.softDevices();
  assertEquals(device!.netdev, { space: node.pod, name: "net1" });
  const { deviceId, softRoce, devices, netns } = node.recorded();
  assertEquals({ deviceId, softRoce, path: netns?.path }, {
    deviceId: "rxe:net1",
    softRoce: true,
    path: POD,
  });
  const [{ hostName, ...recorded } = { hostName: "" }, ...others] = devices;
  assertEquals([recorded, others], [{ index: device!.index, podName: "rxe0" }, []]);
  assertMatch(hostName, /^rdma-cni-\d+$/);
  assertStringIncludes(lines.join(""), `/dev/infiniband/${device!.uverbs}`);
  assertEquals(node.whereIs(node.device), "host");
});

Deno.test("the record is there, with the device's name, before the device is made", async () => {
  using node = new SoftNode();
  let seen: unknown;
  node.kernel.onSoftRoce = (name) => {
    const { softRoce, devices } = node.recorded();
    seen = { softRoce, devices, name };
  };
  await node.succeed("ADD");
  const [{ hostName } = { hostName: "" }] = node.recorded().devices;
  assertEquals(seen, { softRoce: true, devices: [{ hostName, podName: hostName }], name: hostName });
});

Deno.test("the lock is held while a device is made", async () => {
  using node = new SoftNode();
  let held = false;
  node.kernel.onSoftRoce = () => {
    held = node.kernel.locked.has(node.directory);
  };
  await node.succeed("ADD");
  assertEquals(held, true);
});

Deno.test("the Go plugin's keys say what it must move", async () => {
  using node = await SoftNode.added();
  const raw = JSON.parse(Deno.readTextFileSync(`${node.directory}/${FILE}`));
  assertEquals([raw.containerRdmaDevName, raw.sandboxRdmaDevName], ["rxe0", raw.devices[0].hostName]);
});

Deno.test("an older kernel's name of an adapter's device does not keep a pod from rxe0", async () => {
  using node = new SoftNode();
  node.device.name = "rxe0";
  await node.succeed("ADD");
  assertEquals(node.made(), [`rxe0 ${POD}`]);
});

Deno.test("two pods each have rxe0, and a pod's second interface has rxe1", async () => {
  using node = await SoftNode.added();
  node.addPod("/run/netns/other");
  await node.succeed("ADD", { variables: { CNI_NETNS: "/run/netns/other", CNI_CONTAINERID: "container2" } });
  node.pod.links.set("net2", { index: 3, name: "net2", isInfiniBand: false, vfMacs: new Map() });
  await node.succeed("ADD", { variables: { CNI_IFNAME: "net2" } });
  assertEquals(node.made(), [`rxe0 ${POD}`, "rxe0 /run/netns/other", `rxe1 ${POD}`]);
  await node.succeed("DEL");
  assertEquals(node.made(), ["rxe0 /run/netns/other", `rxe1 ${POD}`]);
  await node.succeed("CHECK", { variables: { CNI_IFNAME: "net2" } });
});

Deno.test("rdmaDeviceName names the device; a name that the pod has is code 114, and nothing is left", async () => {
  using node = new SoftNode();
  await node.succeed("ADD", { config: { rdmaDeviceName: "roce_{ifname}" } });
  assertEquals(node.made(), [`roce_net1 ${POD}`]);
  await node.succeed("DEL");
  node.device.space = node.pod;
  await node.fail("ADD", 114, { config: { rdmaDeviceName: node.device.name } });
  node.assertClean();
});

Deno.test("with rdmaDeviceNameConflict keep, the device has the name that it was made under", async () => {
  using node = new SoftNode();
  node.device.space = node.pod;
  await node.succeed("ADD", {
    config: { rdmaDeviceName: node.device.name, rdmaDeviceNameConflict: "keep" },
  });
  assertMatch(node.made().join(), /^rdma-cni-\d+ \/run\/netns\/pod$/);
  await node.succeed("CHECK");
});

Deno.test("ADD of the same attachment once more changes no device", async () => {
  using node = await SoftNode.added();
  const { bootTimeUs: _, ...before } = node.recorded();
  const devices = node.softDevices();
  await node.succeed("ADD");
  const { bootTimeUs: _later, ...after } = node.recorded();
  assertEquals([after, node.softDevices()], [before, devices]);
});

Deno.test("ADD in a new namespace at the same path replaces the device", async () => {
  using node = await SoftNode.added();
  node.kernel.endNetns(node.pod);
  node.addPod(POD);
  await node.succeed("ADD");
  assertEquals(node.made(), [`rxe0 ${POD}`]);
  await node.succeed("CHECK");
});

Deno.test("ADD with a function replaces the device that an ADD without one made, and the other way round", async () => {
  using node = await SoftNode.added();
  await node.succeed("ADD", { config: { deviceID: VF, softRoCE: false } });
  assertEquals([node.made(), node.whereIs(node.device)], [[], POD]);
  await node.succeed("ADD");
  assertEquals([node.made(), node.whereIs(node.device)], [[`rxe0 ${POD}`], "host"]);
});

Deno.test("DEL removes device and record, and succeeds once more", async () => {
  using node = await SoftNode.added();
  await node.succeed("DEL");
  node.assertClean();
  assertEquals((await node.succeed("DEL")).output, "");
});

Deno.test("DEL goes by the record, whatever the configuration says by now", async () => {
  using node = await SoftNode.added();
  await node.succeed("DEL", { config: { deviceID: VF, softRoCE: false } });
  node.assertClean();
});

Deno.test("DEL takes a configuration that ADD refuses", async () => {
  using node = await SoftNode.added();
  await node.succeed("DEL", { config: { deviceID: VF, rdmaDevices: "all" } });
  node.assertClean();
});

Deno.test("DEL removes a device that the pod renamed", async () => {
  using node = await SoftNode.added();
  node.softDevices()[0]!.name = "mine";
  await node.succeed("DEL");
  node.assertClean();
});

Deno.test("DEL without CNI_NETNS goes by the record's path", async () => {
  using node = await SoftNode.added();
  await node.succeed("DEL", { variables: { CNI_NETNS: "" } });
  node.assertClean();
});

Deno.test("DEL finds the device in a namespace that has lost its path", async () => {
  using node = await SoftNode.added();
  node.losePath();
  await node.succeed("DEL");
  node.assertClean();
  assert(node.kernel.held.has(HELD));
});

Deno.test("DEL after the namespace has ended, and the device with it, removes the record", async () => {
  using node = await SoftNode.added();
  node.endNetns();
  await node.succeed("DEL");
  node.assertClean();
  assertEquals(node.kernel.sleptMs, 0);
});

Deno.test("DEL removes a device that a dying namespace left on the host", async () => {
  using node = await SoftNode.added();
  node.endPod();
  node.softDevices()[0]!.space = node.kernel.host;
  await node.succeed("DEL");
  node.assertClean();
});

for (const name of ["rxe_eth0", "rxe0"]) {
  Deno.test(`DEL does not remove a Soft-RoCE device of the host that has the recorded index, called ${name}`, async () => {
    using node = await SoftNode.added();
    const [own] = node.softDevices();
    const { host } = node.kernel;
    node.kernel.remove(own!);
    node.kernel.addDevice("", own!.index, { name, netdev: { space: host, name: "eth0" } });
    const recorded = node.recorded();
    const devices = recorded.devices.map((device) => ({ ...device, podName: "rxe0" }));
    node.write(FILE, { ...recorded, devices });
    await node.succeed("DEL");
    assertEquals({ made: node.made(), files: node.files() }, { made: [`${name} host`], files: [] });
  });
}

Deno.test("gc removes a Soft-RoCE device that is on the host, and keeps the record of one that is elsewhere", async () => {
  using node = await SoftNode.added();
  const [device] = node.softDevices();
  node.endPod();
  assertEquals(collectGarbage(node, node.terminal).code, 1);
  assertEquals([node.softDevices(), node.files()], [[device], [FILE]]);
  device!.space = node.kernel.host;
  assertEquals(collectGarbage(node, node.terminal).code, 0);
  node.assertClean();
});

Deno.test("gc keeps the record of a Soft-RoCE device that is elsewhere, whatever pod has one on an interface of the same name", async () => {
  using node = await SoftNode.added();
  node.endPod();
  node.addPod("/run/netns/other");
  const variables = { CNI_NETNS: "/run/netns/other", CNI_CONTAINERID: "container2" };
  await node.succeed("ADD", { variables });
  const { code, value } = collectGarbage(node, node.terminal);
  const { records: [record] } = value as { records: { file: string; state: string; reason: string }[] };
  assertEquals([code, record?.file, record?.state], [1, FILE, "away"]);
  assertStringIncludes(record!.reason, "is in a namespace that no path, process or open file leads to");
  assertEquals(node.files(), [FILE, "net-container2-net1"]);
});

Deno.test("DEL lets the kernel be first", async () => {
  using node = await SoftNode.added();
  node.kernel.onSoftRoceRemoval = (device) => {
    node.kernel.remove(device);
    return ENODEV;
  };
  await node.succeed("DEL");
  node.assertClean();
});

Deno.test("DEL fails when the device stays, and keeps the record", async () => {
  using node = await SoftNode.added();
  node.kernel.onSoftRoceRemoval = () => EBUSY;
  await node.fail("DEL", 120);
  assertEquals(node.files(), [FILE]);
  node.kernel.onSoftRoceRemoval = () => {};
  await node.succeed("DEL");
  node.assertClean();
});

Deno.test("a record from before the last boot is removed, and no device of this boot with it", async () => {
  using node = await SoftNode.added();
  node.kernel.bootId = "boot-2";
  await node.succeed("DEL");
  assertEquals([node.made(), node.files()], [[`rxe0 ${POD}`], []]);
});

Deno.test("GC removes the device of an attachment that is no longer valid, and no other", async () => {
  using node = await SoftNode.added();
  node.addPod("/run/netns/other");
  await node.succeed("ADD", { variables: { CNI_NETNS: "/run/netns/other", CNI_CONTAINERID: "container2" } });
  const valid = [{ containerID: "container2", ifname: "net1" }];
  await node.succeed("GC", { config: { "cni.dev/valid-attachments": valid } });
  assertEquals([node.made(), node.files()], [["rxe0 /run/netns/other"], ["net-container2-net1"]]);
  await node.succeed("GC", { config: { "cni.dev/valid-attachments": [] } });
  node.assertClean();
});

for (
  const [name, change] of [
    ["has gone", (node) => node.kernel.remove(node.softDevices()[0]!)],
    ["has another name", (node) => node.softDevices()[0]!.name = "mine"],
    ["is another of the same name", (node) => {
      node.kernel.remove(node.softDevices()[0]!);
      node.kernel.addDevice("", 900, { name: "rxe0", space: node.pod });
    }],
    ["has no record", (node) => node.state.remove(FILE)],
  ] as [string, (node: SoftNode) => unknown][]
) {
  Deno.test(`CHECK is code 113 when the device ${name}`, async () => {
    using node = await SoftNode.added();
    await node.succeed("CHECK");
    change(node);
    await node.fail("CHECK", 113);
  });
}

for (const step of STEPS) {
  for (const command of ["DEL", "GC", "ADD and DEL"]) {
    Deno.test(`an ADD that dies at ${step} leaves what ${command} removes`, async () => {
      using node = new SoftNode();
      await node.crash(step);
      assertEquals(node.made().length, step === "onSoftRoce" ? 0 : 1);
      if (command === "ADD and DEL") {
        await node.succeed("ADD");
        assertEquals(node.made(), [`rxe0 ${POD}`]);
        await node.succeed("DEL");
      } else await node.succeed(command, { config: { "cni.dev/valid-attachments": [] } });
      node.assertClean();
    });
  }
}

Deno.test("when the namespace ends after an ADD that died, its device goes, and GC takes the record", async () => {
  using node = new SoftNode();
  await node.crash("onMove");
  node.endNetns();
  assertEquals(node.made(), []);
  await node.succeed("GC", { config: { "cni.dev/valid-attachments": [] } });
  node.assertClean();
});

Deno.test("when the result cannot be printed, device and record go", async () => {
  using node = new SoftNode();
  assertEquals((await node.call("ADD", { writeOutput: brokenPipe })).code, 1);
  node.assertClean();
});

for (
  const [name, change, code, words] of [
    ["without module rdma_rxe", (node) => node.kernel.hasRxe = false, 103, "modprobe rdma_rxe"],
    ["on Linux 7.2", (node) => node.kernel.namesPerNetns = false, 103, "Linux 7.3"],
    ["in mode shared", (node) => node.kernel.mode = "shared", 101, "exclusive"],
    ["without the interface", (node) => node.pod.links.clear(), 110, "bridge, macvlan"],
    [
      "on an IPoIB interface",
      (node) => {
        const link = node.pod.links.get("net1")!;
        node.pod.links.set("net1", { ...link, isInfiniBand: true });
      },
      110,
      "IPoIB",
    ],
    [
      "on an interface that has one",
      (node) => node.kernel.onSoftRoce = () => EEXIST,
      120,
      "rdma link delete",
    ],
    ["without permission", (node) => node.kernel.onSoftRoce = () => EPERM, 120, "CAP_NET_ADMIN"],
    ["on an interface that goes", (node) => node.kernel.onSoftRoce = () => ENODEV, 120, "kernel log"],
    ["when the kernel refuses the move", (node) => node.kernel.onMove = () => EBUSY, 120, "try again"],
  ] as [string, (node: SoftNode) => unknown, number, string][]
) {
  Deno.test(`ADD ${name} is code ${code}, says what to do, and leaves nothing`, async () => {
    using node = new SoftNode();
    change(node);
    const { json } = await node.fail("ADD", code);
    assertStringIncludes(`${json.msg} ${json.details}`, words);
    node.assertClean();
  });
}

Deno.test("a device that goes while it is made is code 113", async () => {
  using node = new SoftNode();
  using hostNetns = node.kernel.getHostNetns();
  hostNetns.listRdmaDevices = () => [];
  await node.fail("ADD", 113);
  assertEquals(node.files(), []);
});

Deno.test("with optional, ADD and CHECK let pods of nodes without Soft-RoCE go without", async () => {
  for (const change of [{ hasRxe: false }, { namesPerNetns: false }]) {
    using node = new SoftNode();
    Object.assign(node.kernel, change);
    const config = { optional: true };
    const { json, lines } = await node.succeed("ADD", { config });
    assertEquals(json, PREV_RESULT);
    assertStringIncludes(lines.join(""), "The pod gets no RDMA device");
    await node.succeed("CHECK", { config });
    await node.fail("CHECK", 113);
    await node.succeed("DEL", { config });
    node.assertClean();
  }
});

for (
  const [key, value] of [
    ["deviceID", VF],
    ["runtimeConfig", { deviceID: VF }],
    ["rdmaDevices", "all"],
    ["rdmaQoS", { trafficClass: 106 }],
  ] as const
) {
  Deno.test(`softRoCE with ${key} is code 7`, async () => {
    using node = new SoftNode();
    const { json } = await node.fail("ADD", 7, { config: { [key]: value } });
    assertStringIncludes(json.msg, key);
    node.assertClean();
  });
}

Deno.test("with CNI_NETNS_OVERRIDE the host's interface gets a device, which is not moved", async () => {
  using node = new SoftNode();
  node.kernel.host.links.set("net1", { index: 2, name: "net1", isInfiniBand: false, vfMacs: new Map() });
  const variables = { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" };
  await node.succeed("ADD", { variables });
  assertEquals(node.made(), ["rxe0 host"]);
  await node.succeed("DEL", { variables });
  node.assertClean();
});

Deno.test("the kernel in memory removes no adapter's device", () => {
  const kernel = new MemoryKernel();
  kernel.addDevice(VF, 2);
  let refused = false;
  try {
    kernel.getHostNetns().removeSoftRoceDevice(2);
  } catch (error) {
    refused = error instanceof NetlinkError && error.errno === 22;
  }
  assert(refused);
});
