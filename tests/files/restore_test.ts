// What ADD, DEL, CHECK and GC conclude of a device that they do not find: it may be on its way, out of reach or gone.
import { SyscallError } from "../../src/sys/errno.ts";
import type { Device } from "../rig/memory/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

const ENODEV = 19;
const OTHER_VF = "0000:3b:00.3";
const OTHER = "/run/netns/other";
const OPTIONAL = { config: { optional: true } };

/** Something happens once calls have slept so long. */
function after(ms: number, node: TestNode, happens: () => unknown): void {
  node.kernel.onSleep = () => {
    if (node.kernel.sleptMs < ms) return;
    node.kernel.onSleep = () => {};
    happens();
  };
}

/** The device's namespace is ending, and the kernel has begun to give the device back, which takes it so long. */
function moveToHost(node: TestNode, device: Device, takesMs: number): void {
  device.space = node.kernel.addNetns("/run/netns/dying");
  node.kernel.paths.delete("/run/netns/dying");
  device.hiddenFrom = ["sysfs", "uverbs", "netlink"];
  after(takesMs, node, () => {
    delete device.hiddenFrom;
    device.space = node.kernel.host;
  });
}

const whereAre = (node: TestNode, ...devices: Device[]) => devices.map((device) => node.whereIs(device));

Deno.test("an optional ADD does not go without a device that does not come", async () => {
  using node = new TestNode();
  moveToHost(node, node.device, Infinity);
  await node.fail("ADD", 111, OPTIONAL);
  assertEquals([node.kernel.sleptMs, ...node.files()], [3000]);
});

Deno.test("ADD takes all devices of a function, also the one that the kernel is moving", async () => {
  using node = new TestNode();
  const other = node.kernel.addDevice(VF, 3);
  moveToHost(node, other, 100);
  await node.succeed("ADD");
  assertEquals(whereAre(node, node.device, other), [POD, POD]);
});

for (const parts of [{}, OPTIONAL]) {
  Deno.test(`ADD with ${JSON.stringify(parts)} asks again for a device that sysfs has and netlink has not`, async () => {
    using node = new TestNode();
    node.device.hiddenFrom = ["netlink"];
    const { json } = await node.fail("ADD", 11, parts);
    assertStringIncludes(json.msg, 'sysfs shows "mlx5_2", netlink disagrees');
    assertEquals([node.kernel.sleptMs, ...node.files()], [3000]);
    after(3200, node, () => delete node.device.hiddenFrom);
    await node.succeed("ADD", parts);
    assertEquals([node.whereIs(node.device), node.kernel.sleptMs], [POD, 3200]);
  });
}

for (const driver of ["mlx5_core", undefined]) {
  Deno.test(`an optional ADD gets the device that driver ${driver} makes a moment later`, async () => {
    using node = new TestNode();
    node.kernel.devices.length = 0;
    if (!driver) node.kernel.bus.set(VF, { ...node.kernel.bus.get(VF)!, driver: undefined! });
    after(300, node, () => node.kernel.addDevice(VF, 9));
    await node.succeed("ADD", OPTIONAL);
    assertEquals(whereAre(node, ...node.kernel.devices), [POD]);
  });
}

Deno.test("an optional ADD goes without a device after half a second in which there was none", async () => {
  using node = new TestNode();
  node.kernel.devices.length = 0;
  assertStringIncludes((await node.succeed("ADD", OPTIONAL)).lines.join(""), "gets no RDMA device");
  assertEquals([node.kernel.sleptMs, ...node.files()], [500]);
});

Deno.test("ADD does not take a function of which the pod has one device and another namespace the other", async () => {
  using node = new TestNode();
  node.device.space = node.pod;
  node.kernel.addDevice(VF, 3, { space: node.kernel.addNetns(OTHER) });
  await node.fail("ADD", 111);
  assertEquals(node.files(), []);
});

Deno.test("a device that returns to the host with an SMI sub-device there is refused, since the kernel would never finish", async () => {
  using node = new TestNode();
  delete node.kernel.addDevice(VF, 9, { name: "smi0", parent: "mlx5_2" }).uverbs;
  moveToHost(node, node.device, 100);
  await node.fail("ADD", 112);
  node.assertForgotten();
});

Deno.test("of two devices the one that is out of reach keeps the record, and the other is restored", async () => {
  using node = new TestNode();
  const other = node.kernel.addDevice(VF, 3);
  await node.succeed("ADD");
  other.space = node.kernel.addNetns(OTHER);
  assertStringIncludes((await node.succeed("DEL")).lines.join(""), "RDMA device mlx5_3 (index 3) of");
  assertEquals([node.whereIs(node.device), ...node.files()], ["host", FILE]);
});

Deno.test("DEL does not wait for an index that has gone with its driver", async () => {
  using node = await TestNode.added();
  node.kernel.devices.length = 0;
  const renewed = node.kernel.addDevice(VF, 9, { name: "mlx5_2" });
  await node.succeed("DEL");
  assertEquals([node.whereIs(renewed), node.kernel.sleptMs, ...node.files()], ["host", 0]);
});

Deno.test("an index has not gone as long as netlink lacks a device that sysfs has", async () => {
  using node = await TestNode.added();
  node.kernel.paths.delete(POD);
  Object.assign(node.device, { space: node.kernel.host, name: "roce0", hiddenFrom: ["uverbs", "netlink"] });
  after(200, node, () => delete node.device.hiddenFrom);
  await node.succeed("DEL");
  assertEquals([node.device.name, node.kernel.sleptMs], ["mlx5_2", 200]);
  node.assertForgotten();
});

Deno.test("a device that arrives between the question to netlink and the one to sysfs has not gone", async () => {
  using node = new TestNode();
  await node.succeed("ADD", { config: { rdmaDeviceName: "rdma_net1" } });
  node.endPod();
  moveToHost(node, node.device, Infinity);
  const ask = node.kernel.getBusDevice.bind(node.kernel);
  node.kernel.getBusDevice = (id) => {
    if (node.kernel.sleptMs >= 200) {
      delete node.device.hiddenFrom;
      node.device.space = node.kernel.host;
    }
    return ask(id);
  };
  await node.succeed("DEL");
  assertEquals(node.device.name, "mlx5_2");
  node.assertForgotten();
});

Deno.test("DEL succeeds when a device leaves the pod by itself before it can be moved", async () => {
  using node = await TestNode.added();
  node.kernel.onMove = (device) => {
    device.space = node.kernel.host;
    return ENODEV;
  };
  assertStringIncludes((await node.succeed("DEL")).lines.join(""), `left ${POD} by itself`);
  node.assertForgotten();
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

Deno.test("an ADD that cannot take a device from a dead pod is code 111 and leaves that pod's record", async () => {
  using node = await TestNode.added();
  node.endPod(); // a socket alone keeps the namespace
  node.kernel.addNetns(OTHER);
  const variables = { CNI_NETNS: OTHER, CNI_CONTAINERID: "container2" };
  const { json } = await node.fail("ADD", 111, { variables });
  assertStringIncludes(json.details, 'container "container1" has it');
  assertEquals(node.files(), [FILE]);
});

Deno.test("DEL and CHECK find a device in the pod that the list of all has missed", async () => {
  using node = await TestNode.added();
  node.kernel.missedByList.add(node.device);
  await node.succeed("CHECK");
  await node.succeed("DEL");
  node.assertForgotten();
  assertEquals(node.kernel.sleptMs, 0);
});

for (const where of ["host", "pod"]) {
  Deno.test(`ADD finds a device in the ${where} that the list of all has missed`, async () => {
    using node = new TestNode();
    if (where === "pod") node.device.space = node.pod;
    else node.device.uverbs = "uverbs77"; // so that the index is not known
    node.kernel.missedByList.add(node.device);
    await node.succeed("ADD");
    assertEquals([node.whereIs(node.device), node.kernel.sleptMs <= 20], [POD, true]);
  });
}

Deno.test("DEL fails and keeps the record when the pod's namespace, which has not gone, cannot be opened", async () => {
  using node = await TestNode.added();
  const { openNetns } = node.kernel;
  for (const [name, errno] of [["EIO", 5], ["EACCES", 13], ["EMFILE", 24]] as const) {
    node.kernel.openNetns = (path) => {
      throw new SyscallError(`open ${JSON.stringify(path)}`, errno);
    };
    assertStringIncludes((await node.fail("DEL", 5)).json.msg, name);
    assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
  }
  node.kernel.openNetns = openNetns;
  await node.succeed("DEL");
  node.assertForgotten();
});

Deno.test("DEL leaves the pod's other devices when it takes what the function has besides the recorded one", async () => {
  using node = await TestNode.added();
  const more = node.kernel.addDevice(VF, 3, { space: node.pod });
  node.kernel.addFunction(OTHER_VF);
  const other = node.kernel.addDevice(OTHER_VF, 8, { space: node.pod });
  await node.succeed("DEL");
  assertEquals(whereAre(node, node.device, more, other), ["host", "host", POD]);
});

// When module ib_core is loaded again, indexes are counted from 0 again, and an old record's is another device's.
for (const where of [POD, "host"]) {
  Deno.test(`DEL does not touch another function's device (${where}) that has the recorded index by now`, async () => {
    using node = await TestNode.added();
    node.kernel.remove(node.device);
    node.kernel.addFunction(OTHER_VF);
    const space = node.kernel.paths.get(where) ?? node.kernel.host;
    const other = node.kernel.addDevice(OTHER_VF, 2, { space, name: "roce7", qos: { tos: [8] } });
    const own = node.kernel.addDevice(VF, 3, { name: "mlx5_0" });
    const devices = [{ index: 2, hostName: "mlx5_2", podName: "roce7", qos: { tos: [1] } }];
    node.write(FILE, node.record({ devices }));
    await node.succeed("DEL");
    assertEquals([other.name, own.name, other.qos?.tos], ["roce7", "mlx5_0", [8]]);
    assertEquals([whereAre(node, other, own), node.files()], [[where, "host"], []]);
  });
}
