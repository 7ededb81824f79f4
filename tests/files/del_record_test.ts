// DEL by what the record says, and without one, beyond tests/scenarios/del.ts.
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { goRecord } from "../scenarios/scenario.ts";
import { assertEquals } from "../support/assert.ts";

/** After every ADD of these tests. */
const LATER = 2_000_000;
const GO_RECORD = JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2", "rdma0"));

Deno.test("an older claim on the device does not hinder DEL", async () => {
  using node = await TestNode.added();
  node.losePath();
  const attachment = { network: "net", containerID: "container0", ifname: "net1" };
  node.write("net-container0-net1", node.record({ attachment, bootTimeUs: 1 }));
  await node.succeed("DEL");
  assertEquals(node.whereIs(node.device), "host");
});

Deno.test("a device that got an SMI sub-device in the pod is not moved to the host, and keeps its record", async () => {
  using node = await TestNode.added();
  const child = node.kernel.addDevice(VF, 9, { name: "smi0", parent: "mlx5_2", space: node.pod });
  delete child.uverbs;
  await node.fail("DEL", 112);
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});

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

Deno.test("in mode shared, and without ib_core, DEL forgets the record", async () => {
  for (const change of [{ mode: "shared" as const }, { hasRdma: false }]) {
    using node = await TestNode.added();
    node.device.space = node.kernel.host;
    Object.assign(node.kernel, change);
    await node.succeed("DEL");
    assertEquals(node.files(), []);
  }
});

Deno.test("DEL of a Go plugin's record in the host's own namespace touches nothing there", async () => {
  using node = new TestNode();
  node.write(FILE, GO_RECORD);
  await node.succeed("DEL", { variables: { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" } });
  node.assertForgotten();
});
