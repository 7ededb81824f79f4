import { assertEquals, assertStringIncludes } from "../assert.ts";
import type { Space } from "./memory_kernel.ts";
import { FILE, POD, TestNode, VF } from "./node.ts";

const EBUSY = 16;
const HELD = "/proc/42/ns/net";

/** A node on which ADD was done. */
async function addedNode(): Promise<TestNode> {
  const node = new TestNode();
  await node.succeed("ADD");
  return node;
}

/** The pod's path goes; a process keeps the namespace. */
function losePath(node: TestNode): Space {
  node.kernel.paths.delete(POD);
  node.kernel.held.set(HELD, node.pod);
  return node.pod;
}

function assertDone(node: TestNode, where = "host"): void {
  assertEquals({ where: node.whereIs(node.device), files: node.files() }, { where, files: [] });
}

Deno.test("DEL brings the device home, forgets it and prints nothing", async () => {
  using node = await addedNode();
  const { output } = await node.succeed("DEL");
  assertEquals(output, "");
  assertDone(node);
});

Deno.test("DEL without prevResult or deviceID does the same", async () => {
  using node = await addedNode();
  await node.succeed("DEL", { config: { prevResult: null, deviceID: "" } });
  assertDone(node);
});

Deno.test("DEL may be repeated", async () => {
  using node = await addedNode();
  for (let i = 0; i < 3; i++) await node.succeed("DEL");
  assertDone(node);
});

Deno.test("DEL where there was never an ADD makes no state folder", async () => {
  using node = new TestNode();
  await node.succeed("DEL");
  assertEquals(node.state.exists(), false);
});

Deno.test("DEL takes the recorded path when CNI_NETNS is empty", async () => {
  using node = await addedNode();
  await node.succeed("DEL", { variables: { CNI_NETNS: "" } });
  assertDone(node);
});

Deno.test("DEL takes the recorded path when CNI_NETNS leads nowhere", async () => {
  using node = await addedNode();
  await node.succeed("DEL", { variables: { CNI_NETNS: "/run/netns/other" } });
  assertDone(node);
});

Deno.test("DEL after the namespace has gone finds the device at home", async () => {
  using node = await addedNode();
  node.kernel.paths.delete(POD);
  node.kernel.endNetns(node.pod);
  await node.succeed("DEL");
  assertDone(node);
});

Deno.test("DEL waits for a device that a dying namespace is giving back", async () => {
  using node = await addedNode();
  node.kernel.paths.delete(POD);
  node.kernel.onSleep = () => {
    if (node.kernel.sleptMs === 400) node.kernel.endNetns(node.pod);
  };
  await node.succeed("DEL");
  assertDone(node);
  assertEquals(node.kernel.sleptMs, 400);
});

Deno.test("DEL gives up waiting after 3 seconds and succeeds with a warning", async () => {
  using node = await addedNode();
  node.kernel.paths.delete(POD);
  const { lines } = await node.succeed("DEL");
  assertEquals(node.kernel.sleptMs, 3000);
  assertStringIncludes(lines.join(""), "cannot be found");
  assertEquals(node.files(), []);
});

Deno.test("DEL fetches the device from a namespace that lives on without its path", async () => {
  using node = await addedNode();
  losePath(node);
  await node.succeed("DEL");
  assertDone(node);
  assertEquals(node.kernel.sleptMs, 0);
});

Deno.test("DEL finds such a namespace also for a device without uverbs device", async () => {
  using node = await addedNode();
  delete node.device.uverbs;
  losePath(node);
  await node.succeed("DEL");
  assertDone(node);
});

Deno.test("DEL looks no further than the namespace with the recorded cookie", async () => {
  using node = await addedNode();
  node.kernel.paths.delete(POD);
  const other = { inode: node.pod.inode, cookie: "77", links: new Map() };
  node.kernel.held.set(HELD, other);
  node.device.space = other;
  await node.succeed("DEL");
  assertDone(node, HELD);
});

Deno.test("DEL touches nothing in a namespace that took over path and inode", async () => {
  using node = await addedNode();
  node.kernel.endNetns(node.pod);
  const newer = node.kernel.addNetns(POD, node.pod.inode, "77");
  node.device.space = newer;
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "is another network namespace by now");
  assertDone(node, POD);
});

Deno.test("without cookies, before kernel 5.14, the inode tells namespaces apart", async () => {
  using node = new TestNode();
  const pod = node.kernel.addNetns("/run/netns/old", 7, "");
  await node.succeed("ADD", { variables: { CNI_NETNS: "/run/netns/old" } });
  assertEquals(node.device.space, pod);
  node.kernel.addNetns("/run/netns/old", 8, "");
  node.kernel.held.set(HELD, pod);
  await node.succeed("DEL", { variables: { CNI_NETNS: "/run/netns/old" } });
  assertDone(node);
});

Deno.test("DEL leaves a device alone that is home already", async () => {
  using node = await addedNode();
  node.device.space = node.kernel.host;
  await node.succeed("DEL");
  assertDone(node);
});

Deno.test("DEL gives a device its name back that it lost in the pod", async () => {
  using node = await addedNode();
  node.device.name = "rdma_net1";
  await node.succeed("DEL");
  assertEquals(node.device.name, "mlx5_2");
  assertDone(node);
});

Deno.test("DEL leaves a device its new name when the old one is taken", async () => {
  using node = await addedNode();
  node.device.name = "rdma_net1";
  node.kernel.addDevice("0000:3b:00.3", 8, { name: "mlx5_2" });
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "keeps its name");
  assertEquals(node.device.name, "rdma_net1");
  assertDone(node);
});

Deno.test("DEL brings home what a driver made anew in the pod, though its index is another", async () => {
  using node = await addedNode();
  node.kernel.devices.length = 0;
  const rebound = node.kernel.addDevice(VF, 11, { name: "mlx5_2", space: node.pod });
  await node.succeed("DEL");
  assertEquals(node.whereIs(rebound), "host");
});

Deno.test("DEL succeeds when the driver is unbound and no device is left", async () => {
  using node = await addedNode();
  node.kernel.devices.length = 0;
  node.kernel.bus.delete(VF);
  await node.succeed("DEL");
  assertEquals(node.files(), []);
});

Deno.test("DEL leaves other devices in the pod alone", async () => {
  using node = await addedNode();
  node.kernel.addFunction("0000:3b:00.3");
  const other = node.kernel.addDevice("0000:3b:00.3", 8, { space: node.pod });
  await node.succeed("DEL");
  assertEquals(node.whereIs(other), POD);
  assertDone(node);
});

Deno.test("DEL fails when a device that is in the pod cannot be moved, and keeps the record", async () => {
  using node = await addedNode();
  node.kernel.onMove = () => EBUSY;
  await node.fail("DEL", 120);
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});

for (
  const [name, spoil] of [
    ["missing", (path: string) => Deno.removeSync(path)],
    ["corrupt", (path: string) => Deno.writeTextFileSync(path, "{")],
    ["empty", (path: string) => Deno.writeTextFileSync(path, "")],
    ["of version 2", (path: string) => Deno.writeTextFileSync(path, '{"version":"2.0"}')],
    ["a symbolic link", (path: string) => {
      Deno.removeSync(path);
      Deno.symlinkSync("/etc/hostname", path);
    }],
  ] as const
) {
  Deno.test(`DEL whose record is ${name} brings the function's device home all the same`, async () => {
    using node = await addedNode();
    spoil(`${node.folder}/${FILE}`);
    await node.succeed("DEL");
    assertDone(node);
  });
}

Deno.test("DEL whose record is a folder succeeds and leaves what is in it", async () => {
  using node = await addedNode();
  Deno.removeSync(`${node.folder}/${FILE}`);
  Deno.mkdirSync(`${node.folder}/${FILE}`);
  Deno.writeTextFileSync(`${node.folder}/${FILE}/kept`, "");
  await node.succeed("DEL");
  assertEquals(node.whereIs(node.device), "host");
  assertEquals(Deno.statSync(`${node.folder}/${FILE}/kept`).isFile, true);
});

Deno.test("a symbolic link instead of a record is removed, not what it leads to", async () => {
  using node = new TestNode();
  const precious = `${node.temporary}/precious`;
  Deno.writeTextFileSync(precious, JSON.stringify({ version: "1.0" }));
  node.state.create();
  Deno.symlinkSync(precious, `${node.folder}/${FILE}`);
  await node.succeed("DEL");
  assertEquals([Deno.statSync(precious).isFile, ...node.files()], [true]);
});

Deno.test("DEL without a record and without deviceID has nothing to do", async () => {
  using node = await addedNode();
  Deno.removeSync(`${node.folder}/${FILE}`);
  await node.succeed("DEL", { config: { deviceID: "" } });
  assertEquals(node.whereIs(node.device), POD);
});

Deno.test("a late DEL does not touch the device of a newer attachment", async () => {
  using node = await addedNode();
  node.kernel.endNetns(node.pod);
  node.kernel.paths.delete(POD);
  const newer = node.kernel.addNetns("/run/netns/newer");
  node.device.space = newer;
  const attachment = { network: "net", containerID: "container2", ifname: "net1" };
  const netns = { path: "/run/netns/newer", inode: newer.inode, cookie: newer.cookie! };
  node.write("net-container2-net1", node.record({ attachment, netns, createdAt: Date.now() + 1000 }));
  node.device.name = "renamed";
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "belongs to net-container2-net1 by now");
  assertEquals([node.whereIs(node.device), node.device.name], ["/run/netns/newer", "renamed"]);
  assertEquals(node.files(), ["net-container2-net1"]);
});

Deno.test("a late DEL without a record does not touch the device of another attachment either", async () => {
  using node = await addedNode();
  await node.succeed("DEL", { variables: { CNI_CONTAINERID: "earlier" } });
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});

Deno.test("a record from before the last boot is forgotten, whatever now has its path and index", async () => {
  using node = await addedNode();
  node.kernel.bootId = "boot-2";
  node.kernel.onMove = () => EBUSY;
  await node.succeed("DEL");
  assertEquals([node.whereIs(node.device), ...node.files()], [POD]);
});

Deno.test("in mode shared, and without ib_core, DEL forgets the record", async () => {
  for (const change of [{ mode: "shared" as const }, { hasRdma: false }]) {
    using node = await addedNode();
    node.device.space = node.kernel.host;
    Object.assign(node.kernel, change);
    await node.succeed("DEL");
    assertEquals(node.files(), []);
  }
});

Deno.test("DEL brings home what the Go plugin moved and renamed, and removes its record", async () => {
  using node = new TestNode();
  Object.assign(node.device, { space: node.pod, name: "rdma0" });
  node.write(
    FILE,
    JSON.stringify({
      version: "1.0",
      deviceID: VF,
      sandboxRdmaDevName: "mlx5_2",
      containerRdmaDevName: "rdma0",
    }),
  );
  await node.succeed("DEL");
  assertEquals(node.device.name, "mlx5_2");
  assertDone(node);
});

Deno.test("DEL finds what the Go plugin moved in a namespace that lost its path", async () => {
  using node = new TestNode();
  node.device.space = losePath(node);
  node.write(
    FILE,
    JSON.stringify({
      version: "1.0",
      deviceID: VF,
      sandboxRdmaDevName: "mlx5_2",
      containerRdmaDevName: "mlx5_2",
    }),
  );
  await node.succeed("DEL");
  assertDone(node);
});

Deno.test("DEL in a namespace named by a path to the host's touches nothing there", async () => {
  using node = await addedNode();
  node.device.space = node.kernel.host;
  const variables = { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" };
  await node.succeed("DEL", { variables });
  assertDone(node);
});

Deno.test("a DEL that cannot take the lock is code 11", async () => {
  using node = await addedNode();
  using _lock = node.kernel.tryLock(node.folder);
  await node.fail("DEL", 11);
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});
