// Whether the pod can use its devices.
import { type Device, PORT } from "../rig/memory/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";

const REQUIRED = { config: { requireActive: true } };
const within = (readyTimeoutMs: number) => ({ config: { requireActive: true, readyTimeoutMs } });
const DOWN = { ...PORT, state: "1: DOWN", isActive: false };
const LINK_LOCAL = "fe80:0000:0000:0000:0000:00ff:fe00:0001";
const ADDRESS = { text: "10.0.0.2", gid: "0000:0000:0000:0000:0000:ffff:0a00:0002" };

function gid(index: number, isRoceV2: boolean, text = LINK_LOCAL) {
  return { index, gid: text, isRoceV2 };
}

/** A node whose pod has an address, besides the link-local one, which needs no GID. */
function addressedNode(...ports: Device["ports"]): TestNode {
  const node = new TestNode();
  if (ports.length > 0) node.device.ports = ports;
  node.pod.addresses = new Map([[2, [ADDRESS, { text: LINK_LOCAL, gid: LINK_LOCAL }]]]);
  return node;
}

/** The messages of a level. */
function logged(lines: readonly string[], level: string): string[] {
  return lines.filter((line) => line.includes(`level="${level}"`)).map((line) =>
    /msg="(.*?)" \w/.exec(line)![1]!
  );
}

const assertWhere = (node: TestNode, ...wanted: unknown[]) =>
  assertEquals([node.whereIs(node.device), ...node.files()], wanted);

for (
  const [what, port, told] of [
    ["RoCE v2 GID indexes", {
      gids: [gid(0, false), gid(1, true), gid(2, false, ADDRESS.gid), gid(3, true, ADDRESS.gid)],
    }, ", RoCE v2 GID indexes: 1, 3"],
    ["of a long table that there are more, one of which counts", {
      gids: [gid(1, true), gid(200, true, ADDRESS.gid)],
    }, ", RoCE v2 GID indexes among the first 16: 1"],
    ["of InfiniBand no GIDs, and need none", { isRoce: false }, ""],
  ] as const
) {
  Deno.test(`ADD and CHECK log uverbs device, port state and ${what}`, async () => {
    using node = addressedNode({ ...PORT, ...port, gids: "gids" in port ? [...port.gids] : [] });
    for (const command of ["ADD", "CHECK"]) {
      const { lines } = await node.succeed(command, REQUIRED);
      const line = `RDMA device mlx5_2 (index 2) has /dev/infiniband/uverbs2; port 1: ACTIVE${told}`;
      assert(logged(lines, "info").includes(line), lines.join(""));
      assertEquals(logged(lines, "warning"), []);
    }
  });
}

for (
  const [what, ports, told] of [
    [
      "a port that is down",
      [{ ...PORT, gids: [gid(0, true, ADDRESS.gid)] }, { ...DOWN, number: 2 }],
      /^port 2 of RDMA device mlx5_2 is in state .*1: DOWN.*, want .*4: ACTIVE/,
    ],
    [
      "an address without GID",
      [{ ...PORT, gids: [gid(0, true)] }],
      /^RDMA device mlx5_2 has no GID for 10\.0\.0\.2, which interface net1 has/,
    ],
    ["a device without ports", [], /^RDMA device mlx5_2 shows no port/],
  ] as [string, Device["ports"], RegExp][]
) {
  Deno.test(`${what} is a warning, or with requireActive code 116, and nothing is left`, async () => {
    using node = addressedNode();
    node.device.ports = ports;
    const { json } = await node.fail("ADD", 116, REQUIRED);
    assertMatch(json.msg.replace(/^.*?": /, ""), told);
    assertStringIncludes(json.details, '"readyTimeoutMs"');
    assertWhere(node, "host");
    for (const command of ["ADD", "CHECK"]) {
      const [warning = "", ...more] = logged((await node.succeed(command)).lines, "warning");
      assertMatch(warning, told);
      assertEquals([more, node.kernel.sleptMs], [[], 0]);
    }
    for (const command of ["CHECK", "ADD"]) { // which leave the device of an ADD before
      await node.fail(command, 116, REQUIRED);
      assertWhere(node, POD, FILE);
    }
  });
}

Deno.test("of a function with several devices one has the GID, and all are to be active", async () => {
  using node = addressedNode();
  const second = node.kernel.addDevice(VF, 3);
  second.ports = [{ ...PORT, gids: [gid(0, true, ADDRESS.gid)] }];
  await node.succeed("ADD", REQUIRED);
  second.ports = [{ ...second.ports[0]!, state: "2: INIT", isActive: false }];
  assertStringIncludes((await node.fail("CHECK", 116, REQUIRED)).json.msg, "mlx5_3 is in state");
});

Deno.test("ADD waits for the port without the lock, as long as it may, or without requireActive not at all", async () => {
  using node = new TestNode();
  node.device.ports = [DOWN];
  const locked = new Set<boolean>();
  node.kernel.onSleep = () => {
    locked.add(node.kernel.locked.has(node.directory));
    if (node.kernel.sleptMs >= 500) node.device.ports = [PORT];
  };
  assertStringIncludes((await node.fail("ADD", 116, within(400))).json.msg, "after 400 ms: port 1");
  assertEquals([node.kernel.sleptMs, node.whereIs(node.device)], [400, "host"]);
  await node.succeed("ADD", { config: { readyTimeoutMs: 60_000 } });
  assertEquals(node.kernel.sleptMs, 400);
  await node.succeed("ADD", within(60_000));
  assertEquals([node.kernel.sleptMs, node.whereIs(node.device), ...locked], [500, POD, false]);
});

Deno.test("readyTimeoutMs counts what looking takes, not only the pauses", async () => {
  using node = new TestNode();
  const { kernel } = node;
  Object.defineProperty(node.device, "ports", {
    get() {
      kernel.bootTimeUs += 90_000;
      return [DOWN];
    },
  });
  await node.fail("ADD", 116, within(400));
  assert(kernel.sleptMs < 100, `${kernel.sleptMs}`);
});

for (const isAddedAgain of [false, true]) {
  Deno.test(`an attachment that was deleted while its ADD waited in vain is left alone, added again: ${isAddedAgain}`, async () => {
    using node = new TestNode();
    const next = node.kernel.addNetns("/run/netns/next");
    node.device.ports = [DOWN];
    let files: string[] = [];
    node.kernel.onSleep = () => {
      if (isAddedAgain) node.write(FILE, node.record({ bootTimeUs: node.kernel.getBootTimeUs() }));
      else node.state.remove(FILE);
      node.claim("container2");
      files = node.files();
      node.device.space = next;
      node.kernel.onSleep = () => {};
    };
    await node.fail("ADD", 116, within(40));
    assertEquals([node.device.space, node.files()], [next, files]);
  });
}

Deno.test("an ADD whose attachment was deleted while it waited fails, though the port is active then", async () => {
  using node = new TestNode();
  node.device.ports = [DOWN];
  node.kernel.onSleep = () => {
    node.state.remove(FILE);
    node.device.space = node.kernel.host;
    node.device.ports = [PORT];
  };
  const { json } = await node.fail("ADD", 116, within(40));
  assertStringIncludes(json.msg, "after 40 ms: an RDMA device has left the pod");
  node.assertForgotten();
});

Deno.test("where no sysfs can be mounted ADD does without, CHECK says so at level debug or, if it must know, fails", async () => {
  using node = new TestNode();
  node.kernel.sysfsErrno = 38;
  assertMatch((await node.succeed("ADD", REQUIRED)).lines.join(""), /port 1: ACTIVE/);
  const { lines } = await node.succeed("CHECK");
  assertMatch(logged(lines, "debug").join("\n"), /cannot be read: Cannot mount a sysfs: fsopen: ENOSYS/);
  assertEquals(logged(lines, "warning"), []);
  assertStringIncludes((await node.fail("CHECK", 116, REQUIRED)).json.msg, "ENOSYS (38)");
});

Deno.test("a device that was in the pod before is looked at there", async () => {
  using node = new TestNode();
  node.device.space = node.pod;
  assertMatch((await node.succeed("ADD", REQUIRED)).lines.join(""), /port 1: ACTIVE/);
  node.kernel.sysfsErrno = 1;
  await node.fail("ADD", 116, REQUIRED);
});
