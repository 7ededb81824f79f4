// The device of a function is found whatever its index, and listing all devices is done as rarely as can be.
import { POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals } from "../support/assert.ts";

/** A node whose device was made anew: its index is not the number of its uverbs device any more. */
function reboundNode(): TestNode {
  const node = new TestNode();
  node.kernel.devices.splice(0, 1);
  Object.assign(node, { device: node.kernel.addDevice(VF, 11, { name: "mlx5_2", uverbs: "uverbs2" }) });
  return node;
}

/** Adds and deletes; returns how many listings ADD needed. */
async function countListings(node: TestNode): Promise<number> {
  const before = node.kernel.listings;
  await node.succeed("ADD");
  assertEquals(node.whereIs(node.device), POD);
  const needed = node.kernel.listings - before;
  await node.succeed("DEL");
  assertEquals(node.whereIs(node.device), "host");
  return needed;
}

const path = (node: TestNode) => `${node.indexes.directory}/mlx5_2`;

Deno.test("a device whose index is its uverbs device's number needs no list, and nothing is remembered", async () => {
  using node = new TestNode();
  assertEquals(await countListings(node), 0);
  assertEquals(node.indexes.get("mlx5_2"), undefined);
});

Deno.test("another index is found in the list once and remembered, readable for root alone", async () => {
  using node = reboundNode();
  assertEquals([await countListings(node), await countListings(node)], [1, 0]);
  assertEquals(node.indexes.get("mlx5_2"), "11");
  assertEquals(Deno.statSync(node.indexes.directory).mode! & 0o777, 0o700);
  assertEquals(Deno.statSync(path(node)).mode! & 0o777, 0o600);
});

Deno.test("a remembered index that is out of date does no harm, and is replaced", async () => {
  using node = reboundNode();
  node.kernel.addFunction("0000:3b:00.3");
  const other = node.kernel.addDevice("0000:3b:00.3", 7);
  for (const outdated of [7, 12]) {
    node.indexes.set("mlx5_2", `${outdated}`);
    assertEquals(await countListings(node), 1);
    assertEquals(node.indexes.get("mlx5_2"), "11");
  }
  assertEquals(node.whereIs(other), "host");
});

for (const text of ["", "x", "11\n", "-1", "1e3", "99999999999", "11".repeat(1000)]) {
  Deno.test(`${JSON.stringify(text.slice(0, 20))} is no index`, async () => {
    using node = reboundNode();
    node.indexes.set("mlx5_2", "11");
    Deno.writeTextFileSync(path(node), text);
    assertEquals(await countListings(node), 1);
  });
}

Deno.test("where nothing can be remembered the list is asked for each time", async () => {
  using node = reboundNode();
  Deno.writeTextFileSync(node.indexes.directory, "a file where the directory would be");
  assertEquals([await countListings(node), await countListings(node)], [1, 1]);
});

Deno.test("a link in an index's place is replaced, not written to", async () => {
  using node = reboundNode();
  const victim = `${node.temporary}/victim`;
  Deno.writeTextFileSync(victim, "untouched");
  Deno.mkdirSync(node.indexes.directory);
  Deno.symlinkSync(victim, path(node));
  assertEquals(await countListings(node), 1);
  assertEquals([Deno.readTextFileSync(victim), node.indexes.get("mlx5_2")], ["untouched", "11"]);
  assertEquals(Deno.lstatSync(path(node)).isFile, true);
});
