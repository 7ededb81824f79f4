import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { PREV_RESULT } from "../support/call.ts";

Deno.test("CHECK after ADD succeeds and prints nothing", async () => {
  using node = new TestNode();
  await node.succeed("ADD");
  assertEquals((await node.succeed("CHECK")).output, "");
});

const BROKEN: { name: string; spoil: (node: TestNode) => void; told: string }[] = [
  { name: "no record", spoil: (node) => node.state.remove(FILE), told: "there is no record" },
  { name: "an unreadable record", spoil: (node) => node.write(FILE, "{"), told: "it is not JSON" },
  {
    name: "another attachment's record",
    spoil: (node) => {
      node.write(FILE, node.record({ attachment: { ...node.record().attachment!, containerID: "other" } }));
    },
    told: "there is no record",
  },
  {
    name: "a device that returned to the host",
    spoil: ({ device, kernel }) => device.space = kernel.host,
    told: `RDMA device "mlx5_2" (index 2) is not in "${POD}", which has: none`,
  },
  {
    name: "a device that a driver made anew",
    spoil: ({ kernel, pod }) => kernel.devices.splice(0, 1, { ...kernel.devices[0]!, index: 9, space: pod }),
    told: "which has: mlx5_2",
  },
  {
    name: "a renamed device",
    spoil: ({ device }) => device.name = "rdma0",
    told: 'is called "rdma0" by now',
  },
  {
    name: "another namespace at the path",
    spoil: ({ kernel, pod }) => kernel.addNetns(POD, pod.inode, "77"),
    told: "another namespace than the one",
  },
  {
    name: "a missing interface",
    spoil: ({ pod }) => pod.links.clear(),
    told: `interface "net1" is not in "${POD}"`,
  },
];

for (const { name, spoil, told } of BROKEN) {
  Deno.test(`CHECK finds ${name}: code 113`, async () => {
    using node = new TestNode();
    await node.succeed("ADD");
    spoil(node);
    assertStringIncludes((await node.fail("CHECK", 113)).json.msg, told);
  });
}

Deno.test("CHECK takes a Go plugin's record, whose device it knows by name", async () => {
  using node = new TestNode();
  node.device.space = node.pod;
  const names = { sandboxRdmaDevName: "mlx5_2", containerRdmaDevName: "mlx5_2" };
  node.write(FILE, JSON.stringify({ version: "1.0", deviceID: VF, ...names }));
  await node.succeed("CHECK");
  node.device.name = "other";
  await node.fail("CHECK", 113);
});

Deno.test("CHECK does not look for interfaces that are not the pod's", async () => {
  using node = new TestNode();
  await node.succeed("ADD");
  const interfaces = [
    { name: "host0" },
    { name: "eth0", sandbox: "/run/netns/vm" },
    ...PREV_RESULT.interfaces,
  ];
  await node.succeed("CHECK", { config: { prevResult: { interfaces } } });
});

Deno.test("CHECK needs a result, a namespace and mode exclusive", async () => {
  using node = new TestNode();
  await node.succeed("ADD");
  await node.fail("CHECK", 7, { config: { prevResult: null } });
  await node.fail("CHECK", 8, { variables: { CNI_NETNS: "/run/netns/missing" } });
  node.kernel.mode = "shared";
  await node.fail("CHECK", 101);
});

Deno.test("CHECK needs no lock", async () => {
  using node = new TestNode();
  await node.succeed("ADD");
  using _lock = node.kernel.tryLock(node.directory);
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
    ["mode shared", { mode: "shared" }, "mode shared"],
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
