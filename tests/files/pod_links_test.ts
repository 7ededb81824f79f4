// Interfaces of the pod and the moves of RDMA devices. Cases on a real kernel: tests/vm/cases/infiniband.ts.
import type { Link } from "../../src/kernel/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";

const PF = "0000:3b:00.0";

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

/** The pod has the interface still, the host the device, and nothing was written. */
function assertUntouched(node: TestNode, name: string, link: Link): void {
  assertEquals(node.pod.links.get(name), link);
  assertEquals([node.whereIs(node.device), node.state.exists()], ["host", false]);
}

for (
  const [what, config] of [
    ["by deviceID", {}],
    ["that is optional", { optional: true }],
    ["by the interface's parent", { deviceID: "" }],
    ["whose result has no interfaces", { prevResult: { cniVersion: "1.0.0" } }],
  ] as const
) {
  Deno.test(`a function ${what} whose IPoIB interface the pod has is code 115, before any change`, async () => {
    using node = new TestNode();
    const link = addIpoib(node.pod.links, "net1", VF);
    const { json } = await node.fail("ADD", 115, { config });
    assertMatch(json.msg, /"0000:3b:00\.2".*"net1".*its IPoIB interface/);
    assertMatch(json.details, /"rdmaIsolation": true.*remove "rdma"/);
    assertUntouched(node, "net1", link);
  });
}

Deno.test("so it is when prevResult has it in the pod beside the one that the runtime asked for", async () => {
  using node = new TestNode();
  const link = addIpoib(node.pod.links, "net2", VF);
  await node.fail("ADD", 115, { config: interfacesOf("net1", "net2") });
  assertUntouched(node, "net2", link);
});

Deno.test("an IPoIB interface that names no parent, as that of a partition, counts as the function's", async () => {
  using node = new TestNode();
  const link = addIpoib(node.pod.links, "net1");
  const { json } = await node.fail("ADD", 115);
  assertStringIncludes(json.msg, "the kernel does not say of which device");
  assertUntouched(node, "net1", link);
});

Deno.test("a refusal leaves the record of an earlier ADD and its device alone", async () => {
  using node = await TestNode.added();
  node.kernel.addNetns("/run/netns/again");
  addIpoib(node.kernel.paths.get("/run/netns/again")!.links, "net1", VF);
  await node.fail("ADD", 115, { variables: { CNI_NETNS: "/run/netns/again" } });
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});

for (
  const [what, put] of [
    ["of another function", (node: TestNode) => addIpoib(node.pod.links, "net1", PF)],
    ["on the host", (node: TestNode) => addIpoib(node.kernel.host.links, "net1", VF)],
    [
      "in the pod that neither runtime nor result name",
      (node: TestNode) => addIpoib(node.pod.links, "ib0", VF),
    ],
  ] as const
) {
  Deno.test(`an IPoIB interface ${what} does not stand in the way`, async () => {
    using node = new TestNode();
    put(node);
    await node.succeed("ADD");
    assertEquals(node.whereIs(node.device), POD);
  });
}

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

Deno.test("ADD and DEL leave what ib-sriov-cni isolated in the pod: device and interface", async () => {
  using node = new TestNode();
  node.device.space = node.pod;
  const link = addIpoib(node.pod.links, "net1", VF);
  await node.fail("ADD", 115);
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "not touched");
  assertEquals(node.pod.links.get("net1"), link);
  assertEquals([node.whereIs(node.device), ...node.files()], [POD]);
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
