// CHECK and STATUS, and pods that the configuration lets go without an RDMA device of their own.
import { TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { PREV_RESULT } from "../support/call.ts";

const OPTIONAL = { config: { optional: true } };
const SKIP = { config: { onSharedMode: "skip" } };

Deno.test("CHECK needs no lock", async () => {
  using node = await TestNode.added();
  using _lock = node.kernel.lock(node.directory, 0);
  await node.succeed("CHECK");
});

Deno.test("STATUS asks whether it can write to the directory, or to the nearest above it, and makes none", async () => {
  for (const directory of ["rdma", "cni/rdma"]) {
    using node = new TestNode(directory);
    const asked: string[] = [];
    node.kernel.assertWritable = (path) => void asked.push(path);
    assertEquals((await node.succeed("STATUS")).output, "");
    assertEquals(node.state.exists(), false);
    node.state.create();
    await node.succeed("STATUS");
    assertEquals(asked, [node.temporary, node.directory]);
  }
});

Deno.test("STATUS is code 50 and tells all that is in the way", async () => {
  using node = new TestNode();
  Object.assign(node.kernel, { mode: "shared", writable: false });
  assertMatch((await node.fail("STATUS", 50)).json.msg, /mode shared.*EROFS/);
  Object.assign(node.kernel, { hasRdma: false, writable: true });
  assertStringIncludes((await node.fail("STATUS", 50)).json.msg, "the kernel has none");
});

Deno.test("STATUS is content where every ADD may pass on what it got", async () => {
  using node = new TestNode();
  node.kernel.hasRdma = false;
  await node.succeed("STATUS", OPTIONAL);
  await node.fail("STATUS", 50, SKIP);
  Object.assign(node.kernel, { hasRdma: true, mode: "shared" });
  await node.succeed("STATUS", SKIP);
  await node.fail("STATUS", 50, OPTIONAL);
});

Deno.test("on a node without RDMA subsystem the result is passed on with a warning when the device is optional", async () => {
  using node = new TestNode();
  node.kernel.hasRdma = false;
  const { json, lines } = await node.succeed("ADD", OPTIONAL);
  assertEquals([json, node.files()], [PREV_RESULT, []]);
  const [warning = "", ...more] = lines.filter((line) => line.includes('level="warning"'));
  assertStringIncludes(warning, "EPROTONOSUPPORT");
  assertEquals(more, []);
  for (const command of ["CHECK", "DEL"]) assertEquals((await node.succeed(command, OPTIONAL)).output, "");
  for (const command of ["ADD", "CHECK"]) await node.fail(command, 100, SKIP);
});

Deno.test("CHECK finds an optional device that is there by now, and one that has gone from the pod", async () => {
  using node = new TestNode();
  const devices = node.kernel.devices.splice(0);
  await node.succeed("ADD", OPTIONAL);
  node.kernel.devices.push(...devices);
  assertStringIncludes((await node.fail("CHECK", 113, OPTIONAL)).json.msg, "there is no record");
  await node.succeed("ADD", OPTIONAL);
  assertEquals(node.device.space, node.pod);
  await node.succeed("CHECK", OPTIONAL);
  node.kernel.devices.splice(0);
  await node.fail("CHECK", 113, OPTIONAL);
});

for (
  const [name, spoil, code] of [
    ["a function that is on no bus", ({ kernel }) => kernel.bus.delete(VF), 110],
    ["a function without driver", ({ kernel }) => {
      kernel.devices.splice(0);
      kernel.bus.set(VF, { bus: "pci", isPhysicalFunction: false, enabledVfs: 0 });
    }, 110],
    ["a missing namespace", ({ kernel }) => kernel.paths.clear(), 8],
  ] as [string, (node: TestNode) => unknown, number][]
) {
  Deno.test(`${name} is an error, optional or not`, async () => {
    using node = new TestNode();
    spoil(node);
    await node.fail("ADD", code, OPTIONAL);
  });
}
