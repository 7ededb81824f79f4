// Which function an attachment means, and whether it may have it: its device may be on its way, out of reach or another's.
import type { Device, Space } from "../rig/memory/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { goRecord } from "../scenarios/scenario.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

const OTHER = "/run/netns/other";
const OPTIONAL = { optional: true };
const SECOND = "net-second-net1";
const second = { variables: { CNI_CONTAINERID: "second", CNI_NETNS: OTHER } };
const GO_FILE = "net-go-net1";
const GO_RECORD = JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2"));

/** Something happens once calls have slept so long. */
function after(ms: number, node: TestNode, happens: () => unknown): void {
  node.kernel.onSleep = () => {
    if (node.kernel.sleptMs < ms) return;
    node.kernel.onSleep = () => {};
    happens();
  };
}

/** The device is in a namespace that is ending, as nothing leads to it. */
function endNamespaceOf(node: TestNode, device = node.device): Space {
  device.space = node.kernel.addNetns("/run/netns/ending");
  node.kernel.paths.delete("/run/netns/ending");
  return device.space;
}

function endSoon(node: TestNode): void {
  const space = endNamespaceOf(node);
  node.kernel.onSleep = () => node.kernel.endNetns(space);
}

/** The kernel has begun to give the device of such a namespace back, which takes it so long. */
function moveToHost(node: TestNode, device: Device, takesMs: number): void {
  const space = endNamespaceOf(node, device);
  device.hiddenFrom = ["sysfs", "uverbs", "netlink"];
  after(takesMs, node, () => {
    delete device.hiddenFrom;
    node.kernel.endNetns(space);
  });
}

function makeLater(node: TestNode): void {
  const devices = node.kernel.devices.splice(0);
  after(300, node, () => node.kernel.devices.push(...devices));
}

/** Makes the record of another pod, which lives. */
function claimByOther(node: TestNode, more: object = {}): void {
  const { inode, cookie = "" } = node.kernel.addNetns(OTHER);
  node.claim("second", { netns: { path: OTHER, inode, cookie }, ...more });
}

type Taken = [what: string, sleptMs: number, prepare: (node: TestNode) => unknown];

/** Devices that ADD takes, optional or not, whatever records say, and how long it sleeps for them. */
const TAKEN: Taken[] = [
  ["whose namespace is ending, with a record from before the last boot", 20, (node) => {
    claimByOther(node, { bootId: "boot-0" });
    endSoon(node);
  }],
  ["whose namespace is ending, with a record of the Go plugin", 20, (node) => {
    node.write(GO_FILE, GO_RECORD);
    endSoon(node);
  }],
  ["on the host under a name of udev's, of which a pod that lives has a record", 0, (node) => {
    node.device.name = "rocep59s0v0";
    claimByOther(node);
  }],
  ["that netlink has later than sysfs", 200, (node) => {
    node.device.hiddenFrom = ["netlink"];
    after(200, node, () => delete node.device.hiddenFrom);
  }],
  ["that its driver makes later", 300, makeLater],
  ["that a driver makes later which is not bound yet", 300, (node) => {
    makeLater(node);
    node.kernel.bus.set(VF, { ...node.kernel.bus.get(VF)!, driver: undefined! });
  }],
  ["on the host that the list of all devices has missed", 0, (node) => {
    node.device.uverbs = "uverbs77"; // so that the index is not known
    node.kernel.missedByList.add(node.device);
  }],
  ["in the pod that the list of all devices has missed", 0, (node) => {
    node.device.space = node.pod;
    node.kernel.missedByList.add(node.device);
  }],
];

for (const [what, sleptMs, prepare] of TAKEN) {
  Deno.test(`ADD takes a device ${what}`, async () => {
    using node = new TestNode();
    prepare(node);
    const { name } = node.device;
    await node.succeed("ADD", { config: OPTIONAL });
    assertEquals([node.whereIs(node.device), node.device.name], [POD, name]);
    assertEquals(node.recorded().devices[0]?.podName, name);
    assertEquals([node.kernel.sleptMs >= sleptMs, node.kernel.sleptMs <= sleptMs + 20], [true, true]);
  });
}

type Refused = [what: string, code: number, sleptMs: number, told: string, prepare: Taken[2]];

/** Devices that it refuses, optional or not, leaving all as it was: by a code, after how long, and what it tells. */
const REFUSED: Refused[] = [
  ["of which sysfs and netlink never agree", 11, 3000, 'sysfs shows "mlx5_2", netlink disagrees', (node) => {
    node.device.hiddenFrom = ["netlink"];
  }],
  ["in the pod whose function has another one in another namespace", 111, 3000, "names the pod", (node) => {
    node.device.space = node.pod;
    node.kernel.addDevice(VF, 3, { space: node.kernel.addNetns(OTHER) });
  }],
  ["that returns to an SMI sub-device, as the kernel would never finish", 112, 100, "smi0", (node) => {
    delete node.kernel.addDevice(VF, 9, { name: "smi0", parent: "mlx5_2" }).uverbs;
    moveToHost(node, node.device, 100);
  }],
  ["that the Go plugin gave to another pod", 111, 3000, `attachment ${GO_FILE} has it`, (node) => {
    node.device.space = node.kernel.addNetns(OTHER);
    node.write(GO_FILE, GO_RECORD);
  }],
  ["that the Go plugin gave to this pod", 111, 0, `attachment ${GO_FILE} has it`, (node) => {
    node.device.space = node.pod;
    node.write(GO_FILE, GO_RECORD);
  }],
];

for (const [what, code, sleptMs, told, prepare] of REFUSED) {
  Deno.test(`ADD refuses a device ${what}`, async () => {
    using node = new TestNode();
    prepare(node);
    const before = node.files();
    const { json } = await node.fail("ADD", code, { config: OPTIONAL });
    assertStringIncludes(json.msg + json.details, told);
    assertEquals([node.files(), node.kernel.sleptMs], [before, sleptMs]);
  });
}

Deno.test("an optional ADD goes without a device after half a second in which there was none", async () => {
  using node = new TestNode();
  node.kernel.devices.length = 0;
  const { lines } = await node.succeed("ADD", { config: OPTIONAL });
  assertStringIncludes(lines.join(""), "gets no RDMA device");
  assertEquals([node.kernel.sleptMs, ...node.files()], [500]);
});

Deno.test("ADD takes all devices of a function, also the one that the kernel is moving", async () => {
  using node = new TestNode();
  const other = node.kernel.addDevice(VF, 3);
  moveToHost(node, other, 100);
  await node.succeed("ADD");
  assertEquals([node.device.space, other.space], [node.pod, node.pod]);
});

Deno.test("an ADD whose device somebody took away while it was undone leaves the record for DEL", async () => {
  using node = new TestNode();
  const writeOutput = () => {
    node.device.space = node.kernel.addNetns(OTHER);
    throw new Error("Broken pipe");
  };
  assertEquals([(await node.call("ADD", { writeOutput })).code, node.files()], [1, [FILE]]);
  node.device.space = node.kernel.host;
  await node.succeed("DEL");
  node.assertForgotten();
});

for (
  const [what, happens, left] of [
    ["a dead pod, which a socket alone keeps", (node) => node.endPod(), [FILE]],
    ["a pod that lives, beside an older record of a dead one", (node) => {
      node.claim("dead", { netns: { path: "/run/netns/dead", inode: 77 }, bootTimeUs: 1 });
    }, [FILE, "net-dead-net1"]],
  ] as [string, (node: TestNode) => unknown, string[]][]
) {
  Deno.test(`an ADD that cannot take a device from ${what}, is code 111 and leaves the records`, async () => {
    using node = await TestNode.added();
    happens(node);
    node.kernel.addNetns(OTHER);
    const { json } = await node.fail("ADD", 111, second);
    assertStringIncludes(json.details, 'container "container1" has it');
    assertEquals([node.device.space, node.files()], [node.pod, left]);
  });
}

Deno.test("a stale record of the Go plugin does not keep ADD from a dead pod's device", async () => {
  using node = await TestNode.added();
  node.losePath();
  node.write(GO_FILE, GO_RECORD);
  node.kernel.addNetns(OTHER);
  await node.succeed("ADD", second);
  assertEquals([node.whereIs(node.device), ...node.files()], [OTHER, GO_FILE, SECOND]);
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

for (
  const [enabledVfs, device, told] of [
    [0, {}, 'loses its RDMA device"'],
    [1, { resources: [{ kind: "mr", count: 0n }] }, 'on which hang 1 virtual functions"'],
    [7, { resources: [{ kind: "qp", count: 2n }] }, 'on which hang 7 virtual functions, 2 qp on mlx5_0"'],
  ] as [number, Partial<Device>, string][]
) {
  Deno.test(`a physical function's device moves with a warning: it ${told}`, async () => {
    using node = new TestNode();
    node.kernel.addFunction("0000:01:00.0", { isPhysicalFunction: true, enabledVfs });
    const moved = node.kernel.addDevice("0000:01:00.0", 0, device);
    const { lines } = await node.succeed("ADD", { config: { deviceID: "0000:01:00.0" } });
    assertStringIncludes(lines.join(""), told);
    assertEquals(node.whereIs(moved), POD);
  });
}
