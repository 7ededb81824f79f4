import { TestNode } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

Deno.test("CHECK needs no lock", async () => {
  using node = new TestNode();
  await node.succeed("ADD");
  using _lock = node.kernel.lock(node.directory, 0);
  await node.succeed("CHECK");
});

Deno.test("STATUS is ready when the mode is exclusive and records can be written", async () => {
  using node = new TestNode();
  assertEquals((await node.succeed("STATUS")).output, "");
  assertEquals(node.state.exists(), false);
});

Deno.test("STATUS asks about the directory itself when there is one, else about the nearest above it", async () => {
  for (const directory of ["rdma", "cni/rdma"]) {
    using node = new TestNode(directory);
    const asked: string[] = [];
    node.kernel.assertWritable = (path) => void asked.push(path);
    await node.succeed("STATUS");
    node.state.create();
    await node.succeed("STATUS");
    assertEquals(asked, [node.temporary, node.directory]);
  }
});

for (
  const [name, change, told] of [
    ["a read-only state directory", { writable: false }, "EROFS"],
    ["no ib_core", { hasRdma: false }, "the kernel has none"],
  ] as const
) {
  Deno.test(`STATUS is code 50 with ${name}`, async () => {
    using node = new TestNode();
    Object.assign(node.kernel, change);
    assertStringIncludes((await node.fail("STATUS", 50)).json.msg, told);
  });
}

Deno.test("STATUS tells all that is in the way", async () => {
  using node = new TestNode();
  Object.assign(node.kernel, { mode: "shared", writable: false });
  const { json } = await node.fail("STATUS", 50);
  assertStringIncludes(json.msg, "mode shared");
  assertStringIncludes(json.msg, "EROFS");
});
