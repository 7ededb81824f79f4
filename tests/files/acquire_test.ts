// Which function an attachment means, and whether it may have it.
import { POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";

const SF = "mlx5_core.sf.4";
const MAC = "02:03:00:00:48:ab";

/** What is found, when the configuration says only this; each source has a function of its own. */
function nodeOfSources(): TestNode {
  const node = new TestNode();
  for (const [i, id] of ["0000:01:00.1", "0000:01:00.2", SF, "0000:01:00.4"].entries()) {
    node.kernel.addFunction(id);
    node.kernel.addDevice(id, 10 + i);
  }
  const link = { index: 2, name: "net1", parentDevice: SF, isInfiniBand: false, vfMacs: new Map() };
  node.pod.links.set("net1", link);
  node.kernel.virtualFunctions.push({ pf: "eth0", number: 3, mac: MAC, deviceId: "0000:01:00.4" });
  return node;
}

const entry = (pciID?: string) => ({
  name: "net1",
  sandbox: POD,
  mac: MAC.toUpperCase(),
  ...(pciID ? { pciID } : {}),
});

const SOURCES: { name: string; config: object; parent?: string; found: number }[] = [
  {
    name: "runtimeConfig.deviceID",
    config: {
      runtimeConfig: { deviceID: "0000:01:00.1" },
      deviceID: VF,
      prevResult: { interfaces: [entry("0000:01:00.2")] },
    },
    found: 10,
  },
  { name: "deviceID", config: { prevResult: { interfaces: [entry("0000:01:00.2")] } }, found: 2 },
  { name: "pciID", config: { deviceID: "", prevResult: { interfaces: [entry("0000:01:00.2")] } }, found: 11 },
  {
    name: "the interface's parent device",
    config: { deviceID: "", prevResult: { interfaces: [entry()] } },
    found: 12,
  },
];

for (const { name, config, found } of SOURCES) {
  Deno.test(`the function is told by ${name}, before all that comes after it`, async () => {
    using node = nodeOfSources();
    await node.succeed("ADD", { config });
    assertEquals(node.kernel.devices.filter(({ space }) => space === node.pod).map(({ index }) => index), [
      found,
    ]);
  });
}

Deno.test("the function is told last by the interface's MAC address, in whatever case", async () => {
  using node = nodeOfSources();
  node.pod.links.clear();
  await node.succeed("ADD", { config: { deviceID: "", prevResult: { interfaces: [entry()] } } });
  assertEquals(node.kernel.devices.find(({ space }) => space === node.pod)?.index, 13);
});

Deno.test("a device is found also when its uverbs device has another number", async () => {
  for (const uverbs of ["uverbs2", "uverbs77", undefined]) {
    using node = new TestNode();
    node.kernel.addFunction(SF);
    const device = Object.assign(node.kernel.addDevice(SF, 40), { uverbs });
    await node.succeed("ADD", { config: { deviceID: SF } });
    assertEquals(node.kernel.devices.filter(({ space }) => space === node.pod), [device]);
  }
});

Deno.test("a pciID of another interface than the pod's does not count", async () => {
  using node = nodeOfSources();
  const prevResult = { interfaces: [{ name: "host0", pciID: "0000:01:00.2" }] };
  await node.succeed("ADD", { config: { deviceID: "", prevResult } });
  assertEquals(node.kernel.devices.find(({ space }) => space === node.pod)?.index, 12);
});

Deno.test("a MAC address that two virtual functions have is code 110 and names both", async () => {
  using node = nodeOfSources();
  node.pod.links.clear();
  node.kernel.virtualFunctions.push({ pf: "eth1", number: 0, mac: MAC, deviceId: VF });
  const { json } = await node.fail("ADD", 110, {
    config: { deviceID: "", prevResult: { interfaces: [entry()] } },
  });
  assertStringIncludes(json.msg, "0000:01:00.4 (VF 3 of eth0), 0000:3b:00.2 (VF 0 of eth1)");
});

Deno.test("the MAC address of zeros, which many virtual functions have, tells nothing", async () => {
  using node = new TestNode();
  const mac = "00:00:00:00:00:00";
  node.kernel.virtualFunctions.push({ pf: "eth0", number: 0, mac, deviceId: VF });
  const { json } = await node.fail("ADD", 110, {
    config: { deviceID: "", prevResult: { interfaces: [{ mac }] } },
  });
  assertStringIncludes(json.msg, "Cannot tell which device");
});

Deno.test("nothing that tells the function is code 110 and says how Multus passes it", async () => {
  using node = new TestNode();
  const { json } = await node.fail("ADD", 110, { config: { deviceID: "" } });
  assertStringIncludes(json.details, "k8s.v1.cni.cncf.io/resourceName");
  assertEquals(node.whereIs(node.device), "host");
});

const NONE: { name: string; spoil: (node: TestNode) => void; told: RegExp }[] = [
  {
    name: "no such device",
    spoil: ({ kernel }) => kernel.bus.clear(),
    told: /no such device on the pci or auxiliary bus/,
  },
  {
    name: "no driver",
    spoil: ({ kernel }) => {
      kernel.devices.length = 0;
      delete (kernel.bus.get(VF) as { driver?: string }).driver;
    },
    told: /no driver is bound to it/,
  },
  {
    name: "a driver without RDMA",
    spoil: ({ kernel }) => {
      kernel.devices.length = 0;
      kernel.addFunction(VF, { driver: "vfio-pci" });
    },
    told: /its driver "vfio-pci" has made no RDMA device/,
  },
];

for (const { name, spoil, told } of NONE) {
  Deno.test(`${name} is code 110 and told as such`, async () => {
    using node = new TestNode();
    spoil(node);
    const { json } = await node.fail("ADD", 110);
    assertMatch(json.msg, told);
    assertEquals(node.files(), []);
  });
}

Deno.test("a function that a living pod has is code 111 and names the pod", async () => {
  using node = new TestNode();
  await node.succeed("ADD");
  node.kernel.addNetns("/run/netns/other");
  const variables = { CNI_NETNS: "/run/netns/other", CNI_CONTAINERID: "container2" };
  const { json } = await node.fail("ADD", 111, { variables });
  assertStringIncludes(json.details, `container "container1" has it as "net1" on network "net", in ${POD}`);
  assertEquals(node.whereIs(node.device), POD);
  assertEquals(node.files().length, 1);
});

Deno.test("a second attachment of the same function to the same pod is code 111", async () => {
  using node = new TestNode();
  await node.succeed("ADD");
  await node.fail("ADD", 111, { variables: { CNI_IFNAME: "net2" } });
  await node.succeed("CHECK");
});

Deno.test("a function in a namespace without record is code 111 after waiting for its return", async () => {
  using node = new TestNode();
  node.device.space = node.kernel.addNetns("/run/netns/foreign");
  const { json } = await node.fail("ADD", 111);
  assertStringIncludes(json.details, "no record of this plugin names the pod");
  assertEquals(node.whereIs(node.device), "/run/netns/foreign");
});

Deno.test("a function whose pod is dying is taken as soon as it is back", async () => {
  using node = new TestNode();
  const dying = node.kernel.addNetns("/run/netns/dying");
  node.device.space = dying;
  node.kernel.onSleep = () => node.kernel.endNetns(dying);
  await node.succeed("ADD");
  assertEquals(node.whereIs(node.device), POD);
});

Deno.test("a record from before the last boot claims nothing", async () => {
  using node = new TestNode();
  const other = node.kernel.addNetns("/run/netns/other");
  const attachment = { network: "net", containerID: "container0", ifname: "net1" };
  const netns = { path: "/run/netns/other", inode: other.inode, cookie: other.cookie! };
  node.write("net-container0-net1", node.record({ attachment, netns, bootId: "boot-0" }));
  node.device.space = node.kernel.addNetns("/run/netns/dying");
  node.kernel.onSleep = () => node.kernel.endNetns(node.device.space);
  await node.succeed("ADD");
  assertEquals(node.whereIs(node.device), POD);
});

Deno.test("a function that a pod without path still has is taken from it, and its record goes", async () => {
  using node = new TestNode();
  await node.succeed("ADD");
  node.kernel.paths.delete(POD);
  node.kernel.held.set("/proc/42/ns/net", node.pod);
  node.kernel.addNetns("/run/netns/next");
  const variables = { CNI_NETNS: "/run/netns/next", CNI_CONTAINERID: "container2" };
  const { lines } = await node.succeed("ADD", { variables });
  assertStringIncludes(lines.join(""), "Pod of net-container1-net1 is gone but still has device");
  assertEquals([node.whereIs(node.device), ...node.files()], ["/run/netns/next", "net-container2-net1"]);
});

Deno.test("a physical function's device moves with a warning of all that hangs on it", async () => {
  using node = new TestNode();
  node.kernel.addFunction("0000:01:00.0", { isPhysicalFunction: true, enabledVfs: 7 });
  const device = node.kernel.addDevice("0000:01:00.0", 0, {
    resources: [{ kind: "qp", count: 2n }, { kind: "mr", count: 0n }],
  });
  const { lines } = await node.succeed("ADD", { config: { deviceID: "0000:01:00.0" } });
  assertStringIncludes(lines.join(""), 'on which hang 7 virtual functions, 2 qp on mlx5_0" ');
  assertEquals(node.whereIs(device), POD);
});

Deno.test("the warning names what hangs on a physical function, if anything does", async () => {
  for (
    const [enabledVfs, told] of [[0, 'loses its RDMA device"'], [
      1,
      "on which hang 1 virtual functions",
    ]] as const
  ) {
    using node = new TestNode();
    node.kernel.addFunction("0000:01:00.0", { isPhysicalFunction: true, enabledVfs });
    node.kernel.addDevice("0000:01:00.0", 0);
    const { lines } = await node.succeed("ADD", { config: { deviceID: "0000:01:00.0" } });
    assertStringIncludes(lines.join(""), told);
  }
});

Deno.test("a physical function's device stays when allowPF is false: code 112", async () => {
  using node = new TestNode();
  node.kernel.addFunction("0000:01:00.0", { isPhysicalFunction: true });
  const device = node.kernel.addDevice("0000:01:00.0", 0);
  await node.fail("ADD", 112, { config: { deviceID: "0000:01:00.0", allowPF: false } });
  assertEquals([node.whereIs(device), ...node.files()], ["host"]);
});
