// Interfaces of the pod and the moves of RDMA devices, beyond tests/scenarios/infiniband.ts.
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";

const IPOIB = { index: 7, isInfiniBand: true, vfMacs: new Map(), parentDevice: VF };

/** A result before ours with these interfaces. */
const interfaces = (...interfaces: object[]) => ({ config: { prevResult: { interfaces } } });
const inPod = (name: string) => ({ name, sandbox: POD });

Deno.test("a refusal leaves the record of an earlier ADD and its device alone", async () => {
  using node = await TestNode.added();
  node.kernel.addNetns("/run/netns/again").links.set("net1", { ...IPOIB, name: "net1" });
  await node.fail("ADD", 115, { variables: { CNI_NETNS: "/run/netns/again" } });
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});

Deno.test("an entry of the result for the host's side is not looked for in the pod", async () => {
  using node = new TestNode();
  node.pod.links.set("ib0", { ...IPOIB, name: "ib0" });
  await node.succeed("ADD", interfaces({ name: "ib0" }, { name: "ib0", sandbox: "" }, inPod("net1")));
});

Deno.test("where the host is the pod by CNI_NETNS_OVERRIDE nothing moves, so nothing is refused", async () => {
  using node = new TestNode();
  const link = { ...IPOIB, name: "net1" };
  node.kernel.host.links.set("net1", link);
  await node.succeed("ADD", { variables: { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" } });
  assertEquals(node.kernel.host.links.get("net1"), link);
});

for (const isReplaced of [false, true]) {
  Deno.test(`ADD is code 113 and rolled back when an interface goes with the move, and is another one: ${isReplaced}`, async () => {
    using node = new TestNode();
    const { links } = node.pod;
    links.set("net2", { index: 3, name: "net2", isInfiniBand: false, vfMacs: new Map() });
    node.kernel.onMove = () => {
      if (isReplaced) links.set("net2", { ...links.get("net2")!, index: 8 });
      else links.delete("net2");
    };
    const { json } = await node.fail("ADD", 113, interfaces(inPod("net1"), inPod("net2")));
    assertMatch(json.msg, /^[^:]*: interface "net2" \(index 3\) vanished/);
    node.assertForgotten();
  });
}

Deno.test("interfaces that the pod did not have before the move are not missed", async () => {
  using node = new TestNode();
  await node.succeed("ADD", interfaces(inPod("net1"), inPod("net2")));
  assertEquals(node.whereIs(node.device), POD);
});
