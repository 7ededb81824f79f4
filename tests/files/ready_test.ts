// Whether the pod can use its devices.
import { PORT } from "../rig/memory/kernel.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";

const REQUIRED = { config: { requireActive: true } };
const DOWN = { ...PORT, state: "1: DOWN", isActive: false };
const ADDRESS = { text: "10.0.0.2", gid: "0000:0000:0000:0000:0000:ffff:0a00:0002" };

function gid(index: number, isRoceV2: boolean, text = "fe80:0000:0000:0000:0000:00ff:fe00:0001") {
  return { index, gid: text, isRoceV2 };
}

/** The messages of a level. */
function logged(lines: readonly string[], level: string): string[] {
  return lines.filter((line) => line.includes(`level="${level}"`)).map((line) =>
    /msg="(.*?)" \w/.exec(line)![1]!
  );
}

Deno.test("ADD and CHECK log uverbs device, port state and RoCE v2 GID indexes", async () => {
  using node = new TestNode();
  const gids = [gid(0, false), gid(1, true), gid(2, false, ADDRESS.gid), gid(3, true, ADDRESS.gid)];
  node.device.ports = [{ ...PORT, gids }];
  node.pod.addresses = new Map([[2, [ADDRESS]]]);
  for (const command of ["ADD", "CHECK"]) {
    const { lines } = await node.succeed(command, REQUIRED);
    const told =
      "RDMA device mlx5_2 (index 2) has /dev/infiniband/uverbs2; port 1: ACTIVE, RoCE v2 GID indexes: 1, 3";
    assert(logged(lines, "info").includes(told), lines.join(""));
    assertEquals(logged(lines, "warning"), []);
  }
});

Deno.test("an InfiniBand device is told without GIDs, and needs none", async () => {
  using node = new TestNode();
  node.device.ports = [{ ...PORT, isRoce: false }];
  node.pod.addresses = new Map([[2, [ADDRESS]]]);
  const { lines } = await node.succeed("ADD", REQUIRED);
  assertMatch(lines.join(""), /uverbs2; port 1: ACTIVE"/);
});

for (
  const [what, prepare, told] of [
    ["a port that is down", (node: TestNode) => {
      node.device.ports = [PORT, { ...DOWN, number: 2 }];
    }, /^port 2 of RDMA device mlx5_2 is in state .*1: DOWN.*, want .*4: ACTIVE/],
    ["an address without GID", (node: TestNode) => {
      node.device.ports = [{ ...PORT, gids: [gid(0, true)] }];
      node.pod.addresses = new Map([[2, [ADDRESS, { ...ADDRESS, gid: gid(0, true).gid }]]]);
    }, /^RDMA device mlx5_2 has no GID for 10\.0\.0\.2, which interface net1 has/],
    ["a device without ports", (node: TestNode) => {
      node.device.ports = [];
    }, /^RDMA device mlx5_2 shows no port/],
  ] as const
) {
  Deno.test(`${what} is a warning`, async () => {
    using node = new TestNode();
    prepare(node);
    for (const command of ["ADD", "CHECK"]) {
      const [warning = "", ...more] = logged((await node.succeed(command)).lines, "warning");
      assertMatch(warning, told);
      assertEquals(more, []);
    }
  });

  Deno.test(`${what} is code 116 with requireActive, and nothing is left`, async () => {
    using node = new TestNode();
    prepare(node);
    const { json } = await node.fail("ADD", 116, REQUIRED);
    assertMatch(json.msg.replace(/^.*?": /, ""), told);
    assertStringIncludes(json.details, '"readyTimeoutMs"');
    assertEquals([node.whereIs(node.device), ...node.files(), node.kernel.sleptMs], ["host", 0]);
    await node.succeed("ADD");
    await node.fail("CHECK", 116, REQUIRED);
    assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
  });
}

Deno.test("of a function with several devices one has the GID, and all are to be active", async () => {
  using node = new TestNode();
  const second = node.kernel.addDevice(VF, 3);
  second.ports = [{ ...PORT, gids: [gid(0, true, ADDRESS.gid)] }];
  node.pod.addresses = new Map([[2, [ADDRESS]]]);
  await node.succeed("ADD", REQUIRED);
  second.ports = [{ ...second.ports[0]!, ...{ state: "2: INIT", isActive: false } }];
  assertStringIncludes((await node.fail("CHECK", 116, REQUIRED)).json.msg, "mlx5_3 is in state");
});

Deno.test("a link-local address, which the kernel makes by itself, needs no GID", async () => {
  using node = new TestNode();
  const linkLocal = gid(0, true).gid;
  node.pod.addresses = new Map([[2, [{ text: linkLocal, gid: linkLocal }]]]);
  await node.succeed("ADD", REQUIRED);
});

Deno.test("a GID behind the first entries of a long table counts, and the log says that there are more", async () => {
  using node = new TestNode();
  node.device.ports = [{ ...PORT, gids: [gid(1, true), gid(200, true, ADDRESS.gid)] }];
  node.pod.addresses = new Map([[2, [ADDRESS]]]);
  const { lines } = await node.succeed("ADD", REQUIRED);
  assertMatch(lines.join(""), /RoCE v2 GID indexes among the first \d+: 1"/);
});

Deno.test("ADD waits for the port without the lock, as long as it may", async () => {
  using node = new TestNode();
  node.device.ports = [DOWN];
  const locked: boolean[] = [];
  node.kernel.onSleep = () => {
    locked.push(node.kernel.locked.has(node.directory));
    if (node.kernel.sleptMs >= 500) node.device.ports = [PORT];
  };
  const within = (readyTimeoutMs: number) => ({ config: { requireActive: true, readyTimeoutMs } });
  assertStringIncludes((await node.fail("ADD", 116, within(400))).json.msg, "after 400 ms: port 1");
  assertEquals([node.kernel.sleptMs, node.whereIs(node.device)], [400, "host"]);
  await node.succeed("ADD", within(60_000));
  assertEquals([node.kernel.sleptMs, node.whereIs(node.device)], [500, POD]);
  assertEquals(locked.filter((isLocked) => isLocked), []);
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
  await node.fail("ADD", 116, { config: { requireActive: true, readyTimeoutMs: 400 } });
  assertEquals(kernel.sleptMs < 100, true, `${kernel.sleptMs}`);
});

Deno.test("without requireActive nothing waits", async () => {
  using node = new TestNode();
  node.device.ports = [DOWN];
  await node.succeed("ADD", { config: { readyTimeoutMs: 60_000 } });
  assertEquals(node.kernel.sleptMs, 0);
});

for (
  const [what, prepare] of [
    ["was deleted", (node: TestNode) => node.state.remove(FILE)],
    ["was deleted and added again", (node: TestNode) => {
      node.write(FILE, node.record({ bootTimeUs: node.kernel.getBootTimeUs() }));
    }],
  ] as const
) {
  Deno.test(`an attachment that ${what} while its ADD waited in vain is left alone`, async () => {
    using node = new TestNode();
    const next = node.kernel.addNetns("/run/netns/next");
    node.device.ports = [DOWN];
    let files: string[] = [];
    node.kernel.onSleep = () => {
      prepare(node);
      node.claim("container2");
      files = node.files();
      node.device.space = next;
      node.kernel.onSleep = () => {};
    };
    await node.fail("ADD", 116, { config: { requireActive: true, readyTimeoutMs: 40 } });
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
  const { json } = await node.fail("ADD", 116, { config: { requireActive: true, readyTimeoutMs: 40 } });
  assertStringIncludes(json.msg, "after 40 ms: an RDMA device has left the pod");
  node.assertForgotten();
});

Deno.test("an ADD that is repeated fails too while the port is down, and leaves the device", async () => {
  using node = await TestNode.added();
  node.device.ports = [DOWN];
  await node.fail("ADD", 116, REQUIRED);
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});

Deno.test("where no sysfs can be mounted ADD does without, CHECK says so at level debug or, if it must know, fails", async () => {
  using node = new TestNode();
  node.kernel.sysfsErrno = 38;
  const { lines } = await node.succeed("ADD", REQUIRED);
  assertMatch(lines.join(""), /port 1: ACTIVE/);
  const checked = await node.succeed("CHECK");
  assertMatch(
    logged(checked.lines, "debug").join("\n"),
    /cannot be read: Cannot mount a sysfs: fsopen: ENOSYS/,
  );
  assertEquals(logged(checked.lines, "warning"), []);
  assertStringIncludes((await node.fail("CHECK", 116, REQUIRED)).json.msg, "ENOSYS (38)");
});

Deno.test("a device that was in the pod before is looked at there", async () => {
  using node = new TestNode();
  node.device.space = node.pod;
  const { lines } = await node.succeed("ADD", REQUIRED);
  assertMatch(lines.join(""), /port 1: ACTIVE/);
  node.kernel.sysfsErrno = 1;
  await node.fail("ADD", 116, REQUIRED);
});
