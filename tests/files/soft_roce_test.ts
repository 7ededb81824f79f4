// Soft-RoCE devices, on a kernel in memory that is like Linux 7.3 but for the tests that say otherwise.
import { collectGarbage } from "../../src/cli/gc.ts";
import { EBUSY, EEXIST, ENODEV, EPERM } from "../../src/sys/errno.ts";
import type { Device, Space } from "../rig/memory/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { PREV_RESULT } from "../support/call.ts";

const CONFIG = { deviceID: undefined, softRoCE: true };
const FUNCTION = { config: { deviceID: VF, softRoCE: false } };
const NONE_VALID = { config: { "cni.dev/valid-attachments": [] } };
const OTHER = "/run/netns/other";
const IN_OTHER = { variables: { CNI_NETNS: OTHER, CNI_CONTAINERID: "container2" } };
const NET2 = { variables: { CNI_IFNAME: "net2" } };
const ON_HOST = { variables: { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" } };

type Parts = Parameters<TestNode["call"]>[1];

/** A node on which calls are about Soft-RoCE devices unless they say otherwise. */
class SoftNode extends TestNode {
  readonly softDevices = () => this.kernel.devices.filter(({ netdev }) => netdev);

  constructor() {
    super();
    this.kernel.namesPerNetns = true;
  }

  static override async added(): Promise<SoftNode> {
    const node = new SoftNode();
    await node.succeed("ADD");
    return node;
  }

  override call(command: string, { config, ...parts }: Parts = {}) {
    return super.call(command, { ...parts, config: { ...CONFIG, ...config } });
  }

  get made(): Device {
    return this.softDevices()[0]!;
  }

  /** Asserts what Soft-RoCE devices there are, each by name and place. */
  assertMade(...devices: string[]): void {
    const found = this.softDevices().map((device) => `${device.name} ${this.whereIs(device)}`);
    assertEquals(found, devices);
  }

  assertClean(): void {
    this.assertMade();
    assertEquals(this.files(), []);
  }

  addLink(space: Space, name = "net1"): void {
    space.links.set(name, { index: 3, name, isInfiniBand: false, vfMacs: new Map() });
  }

  async addOther(): Promise<void> {
    this.addLink(this.kernel.addNetns(OTHER));
    await this.succeed("ADD", IN_OTHER);
  }
}

Deno.test("ADD makes a device on the pod's interface, moves it in, records it and prints the result it got", async () => {
  using node = new SoftNode();
  const { json, lines } = await node.succeed("ADD");
  const { index, netdev, uverbs } = node.made;
  node.assertMade(`rxe0 ${POD}`);
  assertEquals([json, netdev], [PREV_RESULT, { space: node.pod, name: "net1" }]);
  const { deviceId, softRoce, devices, netns } = node.recorded();
  assertEquals([deviceId, softRoce, netns?.path], ["rxe:net1", true, POD]);
  const { hostName } = devices[0]!;
  assertEquals(devices, [{ index, hostName, podName: "rxe0" }]);
  assertMatch(hostName, /^rdma-cni-\d+$/);
  // By these keys the Go plugin knows what it must move.
  const raw = JSON.parse(Deno.readTextFileSync(`${node.directory}/${FILE}`));
  assertEquals([raw.containerRdmaDevName, raw.sandboxRdmaDevName], ["rxe0", hostName]);
  assertStringIncludes(lines.join(""), `/dev/infiniband/${uverbs}`);
  assertEquals(node.whereIs(node.device), "host");
});

Deno.test("the device is made, moved and named under the lock, and with a record that finds it there", async () => {
  using node = new SoftNode();
  const seen: unknown[] = [];
  const see = () => void seen.push(node.recorded().devices, node.kernel.locked.has(node.directory));
  Object.assign(node.kernel, { onSoftRoce: see, onMove: see, onRename: see });
  await node.succeed("ADD");
  const { hostName, index } = node.recorded().devices[0]!;
  const [made, found] = [[{ hostName, podName: hostName }], [{ index, hostName, podName: "rxe0" }]];
  assertEquals(seen, [made, true, made, true, found, true]);
});

Deno.test("two pods each have rxe0, also when the host has an adapter's, and a pod's second interface has rxe1", async () => {
  using node = await SoftNode.added();
  node.device.name = "rxe0";
  await node.addOther();
  node.addLink(node.pod, "net2");
  await node.succeed("ADD", NET2);
  node.assertMade(`rxe0 ${POD}`, `rxe0 ${OTHER}`, `rxe1 ${POD}`);
  await node.succeed("DEL");
  node.assertMade(`rxe0 ${OTHER}`, `rxe1 ${POD}`);
  await node.succeed("CHECK", NET2);
});

Deno.test("rdmaDeviceName names the device; a name that the pod has is code 114, or with keep that which it was made under", async () => {
  using node = new SoftNode();
  await node.succeed("ADD", { config: { rdmaDeviceName: "roce_{ifname}" } });
  node.assertMade(`roce_net1 ${POD}`);
  await node.succeed("DEL");
  node.device.space = node.pod;
  const config = { rdmaDeviceName: node.device.name };
  await node.fail("ADD", 114, { config });
  node.assertClean();
  await node.succeed("ADD", { config: { ...config, rdmaDeviceNameConflict: "keep" } });
  assertMatch(node.made.name, /^rdma-cni-\d+$/);
  assertEquals(node.made.space, node.pod);
  await node.succeed("CHECK");
});

Deno.test("ADD of the same attachment once more changes no device; in a new namespace at the same path it replaces it", async () => {
  using node = await SoftNode.added();
  const { bootTimeUs: _, ...before } = node.recorded();
  const devices = node.softDevices();
  await node.succeed("ADD");
  const { bootTimeUs: _later, ...after } = node.recorded();
  assertEquals([after, node.softDevices()], [before, devices]);
  node.kernel.endNetns(node.pod);
  node.addLink(node.kernel.addNetns(POD));
  await node.succeed("ADD");
  node.assertMade(`rxe0 ${POD}`);
  await node.succeed("CHECK");
});

Deno.test("ADD with a function replaces the device that an ADD without one made, and the other way round", async () => {
  using node = await SoftNode.added();
  await node.succeed("ADD", FUNCTION);
  node.assertMade();
  assertEquals(node.whereIs(node.device), POD);
  await node.succeed("ADD");
  node.assertMade(`rxe0 ${POD}`);
  assertEquals(node.whereIs(node.device), "host");
});

for (
  const [what, happens, parts] of [
    ["the configuration is of a function by now", () => {}, FUNCTION],
    ["the pod renamed it", (node) => node.made.name = "mine"],
    ["CNI_NETNS is empty", () => {}, { variables: { CNI_NETNS: "" } }],
    ["the namespace lives on without its path", (node) => node.losePath()],
    ["the namespace has ended, and the device with it", (node) => node.endNetns()],
    ["a dying namespace left it on the host", (node) => {
      node.endPod();
      node.made.space = node.kernel.host;
    }],
    ["the kernel removes it first", (node) => {
      node.kernel.onSoftRoceRemoval = (device) => {
        node.kernel.remove(device);
        return ENODEV;
      };
    }],
  ] as [string, (node: SoftNode) => unknown, Parts?][]
) {
  Deno.test(`DEL leaves neither device nor record when ${what}, and succeeds once more`, async () => {
    using node = await SoftNode.added();
    happens(node);
    await node.succeed("DEL", parts);
    node.assertClean();
    assertEquals([(await node.succeed("DEL", parts)).output, node.kernel.sleptMs], ["", 0]);
  });
}

for (const name of ["rxe_eth0", "rxe0"]) {
  Deno.test(`DEL does not remove a Soft-RoCE device of the host that has the recorded index, called ${name}`, async () => {
    using node = await SoftNode.added();
    const { index } = node.made;
    node.kernel.remove(node.made);
    node.kernel.addDevice("", index, { name, netdev: { space: node.kernel.host, name: "eth0" } });
    await node.succeed("DEL");
    node.assertMade(`${name} host`);
    assertEquals(node.files(), []);
  });
}

Deno.test("gc removes a Soft-RoCE device that is on the host, and keeps the record of one that is elsewhere", async () => {
  using node = await SoftNode.added();
  const device = node.made;
  node.endPod();
  await node.addOther(); // on an interface of the same name
  const { code, value } = collectGarbage(node, node.terminal);
  const { records: [record] } = value as { records: { file: string; state: string; reason: string }[] };
  assertEquals([code, record?.file, record?.state], [1, FILE, "away"]);
  assertStringIncludes(record!.reason, "is in a namespace that no path, process or open file leads to");
  assertEquals([node.softDevices().length, node.files()], [2, [FILE, "net-container2-net1"]]);
  device.space = node.kernel.host;
  assertEquals(collectGarbage(node, node.terminal).code, 0);
  node.assertMade(`rxe0 ${OTHER}`);
});

Deno.test("DEL fails when the device stays, and keeps the record", async () => {
  using node = await SoftNode.added();
  node.kernel.onSoftRoceRemoval = () => EBUSY;
  await node.fail("DEL", 120);
  assertEquals(node.files(), [FILE]);
});

for (
  const [name, change] of [
    ["has gone", (node) => node.kernel.remove(node.made)],
    ["has another name", (node) => node.made.name = "mine"],
    ["is another of the same name", (node) => {
      node.kernel.remove(node.made);
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

/** What an ADD leaves that dies, in its order. */
const LEFT: [what: string, change: (node: SoftNode) => unknown, isIndexRecorded?: boolean][] = [
  ["no device", (node) => node.kernel.remove(node.made)],
  ["a device on the host", (node) => node.made.space = node.kernel.host],
  ["a device in the pod", () => {}],
  ["a device in the pod, its index recorded", () => {}, true],
];

for (const [what, change, isIndexRecorded] of LEFT) {
  Deno.test(`an ADD that dies and leaves ${what} is made good by DEL, GC, and ADD and DEL`, async () => {
    for (const command of ["DEL", "GC", "ADD"]) {
      using node = await SoftNode.added();
      const device = node.recorded().devices[0]!;
      const { hostName } = device;
      const devices = [isIndexRecorded ? device : { hostName, podName: hostName }];
      node.write(FILE, { ...node.recorded(), devices });
      node.made.name = hostName;
      change(node);
      await node.succeed(command, NONE_VALID);
      if (command === "ADD") {
        node.assertMade(`rxe0 ${POD}`);
        await node.succeed("DEL");
      }
      node.assertClean();
    }
  });
}

const set = (key: string, value: unknown) => ({ kernel }: SoftNode) =>
  Object.assign(kernel, { [key]: value });

for (
  const [name, code, words, change] of [
    ["without module rdma_rxe", 103, "modprobe rdma_rxe", set("hasRxe", false)],
    ["on Linux 7.2", 103, "Linux 7.3", set("namesPerNetns", false)],
    ["in mode shared", 101, "exclusive", set("mode", "shared")],
    ["without the interface", 110, "bridge, macvlan", (node) => node.pod.links.clear()],
    ["on IPoIB", 110, "IPoIB", ({ pod }) => Object.assign(pod.links.get("net1")!, { isInfiniBand: true })],
    ["on an interface that has one", 120, "rdma link delete", set("onSoftRoce", () => EEXIST)],
    ["without permission", 120, "CAP_NET_ADMIN", set("onSoftRoce", () => EPERM)],
    ["on an interface that goes", 120, "kernel log", set("onSoftRoce", () => ENODEV)],
    ["when the kernel refuses the move", 120, "try again", set("onMove", () => EBUSY)],
    ["when the device goes at once", 113, "was removed meanwhile", (node) => {
      node.kernel.getHostNetns().listRdmaDevices = () => {
        if (node.made) node.kernel.remove(node.made);
        return [];
      };
    }],
  ] as [string, number, string, (node: SoftNode) => unknown][]
) {
  Deno.test(`ADD ${name} is code ${code}, says what to do, and leaves nothing`, async () => {
    using node = new SoftNode();
    change(node);
    const { json } = await node.fail("ADD", code);
    assertStringIncludes(`${json.msg} ${json.details}`, words);
    node.assertClean();
  });
}

Deno.test("with optional, ADD and CHECK let pods of nodes without Soft-RoCE go without", async () => {
  for (const lack of [{ hasRxe: false }, { namesPerNetns: false }]) {
    using node = new SoftNode();
    Object.assign(node.kernel, lack);
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

Deno.test("with CNI_NETNS_OVERRIDE the host's interface gets a device, which is not moved", async () => {
  using node = new SoftNode();
  node.addLink(node.kernel.host);
  await node.succeed("ADD", ON_HOST);
  node.assertMade("rxe0 host");
  await node.succeed("DEL", ON_HOST);
  node.assertClean();
});
