// DEL by what the record says, and without one.
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

const EBUSY = 16;
/** After every ADD of these tests. */
const LATER = 2_000_000;
const GO_RECORD = JSON.stringify({
  version: "1.0",
  deviceID: VF,
  sandboxRdmaDevName: "mlx5_2",
  containerRdmaDevName: "rdma0",
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
  Deno.test(`DEL whose record is ${name} restores the function's device all the same`, async () => {
    using node = await TestNode.added();
    spoil(`${node.directory}/${FILE}`);
    await node.succeed("DEL");
    node.assertForgotten();
  });
}

Deno.test("DEL whose record is a directory succeeds and leaves what is in it", async () => {
  using node = await TestNode.added();
  Deno.removeSync(`${node.directory}/${FILE}`);
  Deno.mkdirSync(`${node.directory}/${FILE}`);
  Deno.writeTextFileSync(`${node.directory}/${FILE}/kept`, "");
  await node.succeed("DEL");
  assertEquals(node.whereIs(node.device), "host");
  assertEquals(Deno.statSync(`${node.directory}/${FILE}/kept`).isFile, true);
});

Deno.test("a symbolic link instead of a record is removed, not what it leads to", async () => {
  using node = new TestNode();
  const precious = `${node.temporary}/precious`;
  Deno.writeTextFileSync(precious, JSON.stringify({ version: "1.0" }));
  node.state.create();
  Deno.symlinkSync(precious, `${node.directory}/${FILE}`);
  await node.succeed("DEL");
  assertEquals([Deno.statSync(precious).isFile, ...node.files()], [true]);
});

Deno.test("DEL without a record and without deviceID has nothing to do", async () => {
  using node = await TestNode.added();
  Deno.removeSync(`${node.directory}/${FILE}`);
  await node.succeed("DEL", { config: { deviceID: "" } });
  assertEquals(node.whereIs(node.device), POD);
});

Deno.test("a late DEL does not touch the device of a newer attachment", async () => {
  using node = await TestNode.added();
  node.kernel.endNetns(node.pod);
  node.kernel.paths.delete(POD);
  const newer = node.kernel.addNetns("/run/netns/newer");
  node.device.space = newer;
  const attachment = { network: "net", containerID: "container2", ifname: "net1" };
  const netns = { path: "/run/netns/newer", inode: newer.inode, cookie: newer.cookie! };
  node.write("net-container2-net1", node.record({ attachment, netns, bootTimeUs: LATER }));
  node.device.name = "renamed";
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "belongs to net-container2-net1 by now");
  assertEquals([node.whereIs(node.device), node.device.name], ["/run/netns/newer", "renamed"]);
  assertEquals(node.files(), ["net-container2-net1"]);
});

for (const where of ["pod", "host"] as const) {
  Deno.test(`a newer claim on a device in the ${where} does not keep DEL from restoring it`, async () => {
    using node = await TestNode.added();
    Object.assign(node.device, { space: where === "pod" ? node.pod : node.kernel.host, name: "renamed" });
    const attachment = { network: "net", containerID: "container2", ifname: "net1" };
    node.write("net-container2-net1", node.record({ attachment, bootTimeUs: LATER }));
    await node.succeed("DEL");
    assertEquals([node.whereIs(node.device), node.device.name], [
      "host",
      where === "pod" ? "mlx5_2" : "renamed",
    ]);
    assertEquals(node.files(), ["net-container2-net1"]);
  });
}

Deno.test("an older claim on the device does not hinder DEL", async () => {
  using node = await TestNode.added();
  node.losePath();
  const attachment = { network: "net", containerID: "container0", ifname: "net1" };
  node.write("net-container0-net1", node.record({ attachment, bootTimeUs: 1 }));
  await node.succeed("DEL");
  assertEquals(node.whereIs(node.device), "host");
});

for (const place of ["host", "pod"] as const) {
  Deno.test(`a device that got an SMI sub-device in the ${place} is not moved to the host, and keeps its record`, async () => {
    using node = await TestNode.added();
    const space = place === "pod" ? { space: node.pod } : {};
    const child = node.kernel.addDevice(VF, 9, { name: "smi0", parent: "mlx5_2", ...space });
    delete child.uverbs;
    await node.fail("DEL", 112);
    assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
  });
}

Deno.test("names that join to the same file name are another's record, which DEL leaves", async () => {
  using node = new TestNode();
  const other = node.record({ attachment: { network: "net-container1", containerID: "x", ifname: "net1" } });
  node.write("net-container1-x-net1", other);
  await node.succeed("DEL", { variables: { CNI_CONTAINERID: "container1-x" } });
  assertEquals(node.files(), ["net-container1-x-net1"]);
});

Deno.test("a late DEL whose own namespace lives does not wait for a device that a newer attachment has", async () => {
  using node = await TestNode.added();
  const attachment = { network: "net", containerID: "container2", ifname: "net1" };
  node.device.space = node.kernel.addNetns("/run/netns/new");
  node.write("net-container2-net1", node.record({ attachment, bootTimeUs: LATER }));
  const { lines } = await node.succeed("DEL");
  assertEquals(lines.join("").includes("cannot be found"), false);
  assertEquals([node.whereIs(node.device), ...node.files()], ["/run/netns/new", "net-container2-net1"]);
});

Deno.test("a late DEL without a record does not touch the device of another attachment either", async () => {
  using node = await TestNode.added();
  await node.succeed("DEL", { variables: { CNI_CONTAINERID: "earlier" } });
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});

Deno.test("a record from before the last boot is forgotten, whatever now has its path and index", async () => {
  using node = await TestNode.added();
  node.kernel.bootId = "boot-2";
  node.kernel.onMove = () => EBUSY;
  await node.succeed("DEL");
  assertEquals([node.whereIs(node.device), ...node.files()], [POD]);
});

Deno.test("in mode shared, and without ib_core, DEL forgets the record", async () => {
  for (const change of [{ mode: "shared" as const }, { hasRdma: false }]) {
    using node = await TestNode.added();
    node.device.space = node.kernel.host;
    Object.assign(node.kernel, change);
    await node.succeed("DEL");
    assertEquals(node.files(), []);
  }
});

Deno.test("DEL restores what the Go plugin moved and renamed, and removes its record", async () => {
  using node = new TestNode();
  Object.assign(node.device, { space: node.pod, name: "rdma0" });
  node.write(FILE, GO_RECORD);
  await node.succeed("DEL");
  assertEquals(node.device.name, "mlx5_2");
  node.assertForgotten();
});

Deno.test("DEL finds what the Go plugin moved in a namespace that lost its path", async () => {
  using node = new TestNode();
  node.device.space = node.losePath();
  node.write(FILE, GO_RECORD);
  await node.succeed("DEL");
  node.assertForgotten();
});

Deno.test("DEL of a Go plugin's record in the host's own namespace touches nothing there", async () => {
  using node = new TestNode();
  node.write(FILE, GO_RECORD);
  await node.succeed("DEL", { variables: { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" } });
  node.assertForgotten();
});
