// Which function an attachment means, and whether it may have it, beyond tests/scenarios/add.ts.
import { POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

Deno.test("a device is found also when its uverbs device has another number", async () => {
  for (const uverbs of ["uverbs2", "uverbs77", undefined]) {
    using node = new TestNode();
    node.kernel.addFunction("mlx5_core.sf.4");
    const device = Object.assign(node.kernel.addDevice("mlx5_core.sf.4", 40), { uverbs });
    await node.succeed("ADD", { config: { deviceID: "mlx5_core.sf.4" } });
    assertEquals(node.kernel.devices.filter(({ space }) => space === node.pod), [device]);
  }
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

Deno.test("a device on the host under a name of udev's is free, also if a pod that lives has a record of it", async () => {
  using node = new TestNode();
  node.device.name = "rocep59s0v0";
  const other = node.kernel.addNetns("/run/netns/other");
  const netns = { path: "/run/netns/other", inode: other.inode, cookie: other.cookie! };
  const file = node.claim("container0", { netns });
  await node.succeed("ADD");
  assertEquals([node.whereIs(node.device), node.device.name], [POD, "rocep59s0v0"]);
  assertEquals(node.files().includes(file), true);
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
