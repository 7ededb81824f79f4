// Pods that the configuration lets go without an RDMA device of their own.
import { TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { PREV_RESULT } from "../support/call.ts";

const OPTIONAL = { config: { optional: true } };
const SKIP = { config: { onSharedMode: "skip" } };

Deno.test("on a node without RDMA subsystem the result is passed on with a warning when the device is optional", async () => {
  using node = new TestNode();
  node.kernel.hasRdma = false;
  const { json, lines } = await node.succeed("ADD", OPTIONAL);
  assertEquals([json, node.files()], [PREV_RESULT, []]);
  const warnings = lines.filter((line) => line.includes('level="warning"'));
  assertEquals(warnings.length, 1);
  assertStringIncludes(warnings[0]!, "EPROTONOSUPPORT");
  assertEquals((await node.succeed("CHECK", OPTIONAL)).output, "");
  assertEquals((await node.succeed("DEL", OPTIONAL)).output, "");
  for (const command of ["ADD", "CHECK"]) await node.fail(command, 100, SKIP);
  assertEquals(node.files(), []);
});

Deno.test("an optional device that is there is moved", async () => {
  using node = new TestNode();
  await node.succeed("ADD", OPTIONAL);
  assertEquals(node.device.space, node.pod);
  await node.succeed("CHECK", OPTIONAL);
});

Deno.test("CHECK finds that a pod went without a device which is there by now", async () => {
  using node = new TestNode();
  const devices = node.kernel.devices.splice(0);
  await node.succeed("ADD", OPTIONAL);
  node.kernel.devices.push(...devices);
  assertStringIncludes((await node.fail("CHECK", 113, OPTIONAL)).json.msg, "there is no record");
});

Deno.test("CHECK finds that an optional device has gone from the pod", async () => {
  using node = new TestNode();
  await node.succeed("ADD", OPTIONAL);
  node.kernel.devices.splice(0);
  await node.fail("CHECK", 113, OPTIONAL);
});

const NOT_EXCUSED: [name: string, spoil: (node: TestNode) => void, code: number][] = [
  ["a function that is on no bus", ({ kernel }) => kernel.bus.delete(VF), 110],
  ["a function without driver", ({ kernel }) => {
    kernel.devices.splice(0);
    kernel.bus.set(VF, { bus: "pci", isPhysicalFunction: false, enabledVfs: 0 });
  }, 110],
  ["a missing namespace", ({ kernel }) => kernel.paths.clear(), 8],
];

for (const [name, spoil, code] of NOT_EXCUSED) {
  Deno.test(`${name} is an error, optional or not`, async () => {
    using node = new TestNode();
    spoil(node);
    await node.fail("ADD", code, OPTIONAL);
  });
}

Deno.test("STATUS is content where every ADD may pass on what it got", async () => {
  using node = new TestNode();
  node.kernel.hasRdma = false;
  await node.succeed("STATUS", OPTIONAL);
  await node.fail("STATUS", 50, SKIP);
  Object.assign(node.kernel, { hasRdma: true, mode: "shared" });
  await node.succeed("STATUS", SKIP);
  await node.fail("STATUS", 50, OPTIONAL);
});
