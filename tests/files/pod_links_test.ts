// Interfaces of the pod and the moves of RDMA devices, beyond tests/scenarios/infiniband.ts.
import type { Link } from "../../src/kernel/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";

/** Puts an IPoIB interface into a namespace of the node. */
function addIpoib(links: Map<string, Link>, name: string, parentDevice?: string): Link {
  const link = {
    ...{ index: 7, name, isInfiniBand: true, vfMacs: new Map() },
    ...(parentDevice === undefined ? {} : { parentDevice }),
  };
  links.set(name, link);
  return link;
}

function interfacesOf(...names: string[]): object {
  return { prevResult: { interfaces: names.map((name) => ({ name, sandbox: POD })) } };
}

Deno.test("a refusal leaves the record of an earlier ADD and its device alone", async () => {
  using node = await TestNode.added();
  node.kernel.addNetns("/run/netns/again");
  addIpoib(node.kernel.paths.get("/run/netns/again")!.links, "net1", VF);
  await node.fail("ADD", 115, { variables: { CNI_NETNS: "/run/netns/again" } });
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});

Deno.test("an entry of the result for the host's side is not looked for in the pod", async () => {
  using node = new TestNode();
  addIpoib(node.pod.links, "ib0", VF);
  const interfaces = [{ name: "ib0" }, { name: "ib0", sandbox: "" }, { name: "net1", sandbox: POD }];
  await node.succeed("ADD", { config: { prevResult: { interfaces } } });
});

Deno.test("where the host is the pod by CNI_NETNS_OVERRIDE nothing moves, so nothing is refused", async () => {
  using node = new TestNode();
  const link = addIpoib(node.kernel.host.links, "net1", VF);
  await node.succeed("ADD", { variables: { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" } });
  assertEquals(node.kernel.host.links.get("net1"), link);
});

for (
  const [what, change] of [
    ["is gone", (links: Map<string, Link>) => links.delete("net2")],
    ["is another", (links: Map<string, Link>) => links.set("net2", { ...links.get("net2")!, index: 8 })],
  ] as const
) {
  Deno.test(`ADD is code 113 and rolled back when an interface of the result ${what} after the move`, async () => {
    using node = new TestNode();
    node.pod.links.set("net2", { index: 3, name: "net2", isInfiniBand: false, vfMacs: new Map() });
    node.kernel.onMove = () => void change(node.pod.links);
    const { json } = await node.fail("ADD", 113, { config: interfacesOf("net1", "net2") });
    assertMatch(json.msg, /^[^:]*: interface "net2" \(index 3\) vanished/);
    node.assertForgotten();
  });
}

Deno.test("interfaces that the pod did not have before the move are not missed", async () => {
  using node = new TestNode();
  await node.succeed("ADD", { config: interfacesOf("net1", "net2") });
  assertEquals(node.whereIs(node.device), POD);
});
