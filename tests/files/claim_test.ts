// Which of several records of one function counts, whatever the clock said when they were written.
import { FILE, HELD, POD, TestNode, VF } from "../rig/memory/node.ts";
import { goRecord } from "../scenarios/scenario.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

const GO_RECORD = JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2"));
const GO_FILE = "net-go-net1";
const SECOND = "net-second-net1";
const DEAD = { path: "/run/netns/dead", inode: 77, cookie: "77" };
const of = (containerID: string, netns: string) => ({
  variables: { CNI_CONTAINERID: containerID, CNI_NETNS: netns },
});
const second = of("second", "/run/netns/second");

for (
  const [what, own, other, isNewer] of [
    ["the other is of this build", {}, { bootTimeUs: 1 }, true],
    ["it is of this build itself", { bootTimeUs: 1 }, {}, false],
    ["both are of earlier builds, the other is newer", {}, { createdAt: 1001 }, true],
    ["both are of earlier builds, the other is older", {}, { createdAt: 999 }, false],
  ] as const
) {
  Deno.test(`a record's device ${isNewer ? "belongs" : "does not belong"} to another when ${what}`, async () => {
    using node = new TestNode();
    node.device.space = node.losePath();
    node.write(FILE, node.record(own));
    node.claim("second", other);
    await node.succeed("DEL");
    assertEquals([node.whereIs(node.device), ...node.files()], [isNewer ? HELD : "host", SECOND]);
  });
}

Deno.test("a record of the Go plugin does not come before one that names its namespace", async () => {
  using node = new TestNode();
  node.device.space = node.losePath();
  node.write(FILE, node.record()); // of an earlier build, and older by the clock
  node.write(GO_FILE, GO_RECORD);
  await node.succeed("DEL");
  assertEquals([node.whereIs(node.device), ...node.files()], ["host", GO_FILE]);
});

Deno.test("of two records of the Go plugin neither takes a device from a namespace that nobody names", async () => {
  using node = new TestNode();
  node.kernel.held.set(HELD, node.pod);
  node.device.space = node.pod;
  for (const [file, hour] of [[GO_FILE, 12], [SECOND, 11]] as const) {
    node.write(file, GO_RECORD);
    const time = new Date(Date.UTC(2026, 10, 26, hour));
    Deno.utimeSync(`${node.directory}/${file}`, time, time);
  }
  await node.succeed("DEL", of("go", ""));
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, SECOND]);
  await node.succeed("DEL", of("second", ""));
  node.assertForgotten();
});

Deno.test("a record of the Go plugin leaves the name on the host alone when another record has the function", async () => {
  using node = new TestNode();
  node.device.name = "rdma0";
  node.write(GO_FILE, JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2", "rdma0")));
  node.write(SECOND, GO_RECORD);
  await node.succeed("DEL", of("go", ""));
  assertEquals([node.device.name, ...node.files()], ["rdma0", SECOND]);
});

Deno.test("a dead pod's record does not keep the Go plugin's pod from being deleted", async () => {
  using node = new TestNode();
  node.device.space = node.pod;
  node.write(GO_FILE, GO_RECORD);
  const file = node.claim("dead", { netns: DEAD, bootTimeUs: 1, createdAt: Date.now() + 3_600_000 });
  await node.succeed("DEL", of("go", POD));
  assertEquals([node.whereIs(node.device), ...node.files()], ["host", file]);
});

for (
  const [what, claim, left] of [
    ["one of the Go plugin", (node) => node.write(GO_FILE, GO_RECORD), POD],
    ["one of a pod that lives", (node) => node.claim("second"), POD],
    ["one of a dead pod", (node) => node.claim("second", { netns: DEAD }), "host"],
  ] as [string, (node: TestNode) => unknown, string][]
) {
  Deno.test(`with ${what}, a DEL without record leaves the device: ${left}`, async () => {
    using node = new TestNode();
    node.device.space = node.pod;
    claim(node);
    await node.succeed("DEL");
    assertEquals(node.whereIs(node.device), left);
  });
}

Deno.test("a stale record of the Go plugin does not keep ADD from a dead pod's device", async () => {
  using node = await TestNode.added();
  node.losePath();
  node.write(GO_FILE, GO_RECORD);
  node.kernel.addNetns("/run/netns/second");
  await node.succeed("ADD", second);
  assertEquals([node.whereIs(node.device), ...node.files()], ["/run/netns/second", GO_FILE, SECOND]);
});

Deno.test("nor does it when its own pod has just ended", async () => {
  using node = new TestNode();
  const ending = node.kernel.addNetns("/run/netns/ending");
  node.device.space = ending;
  node.kernel.paths.delete("/run/netns/ending");
  node.write(GO_FILE, GO_RECORD);
  node.kernel.onSleep = () => node.kernel.endNetns(ending);
  await node.succeed("ADD");
  assertEquals(node.whereIs(node.device), POD);
});

Deno.test("a device that the Go plugin gave to another pod, or to the same, is code 111 and names the record", async () => {
  for (const path of ["/run/netns/go", POD]) {
    using node = new TestNode();
    node.device.space = node.kernel.paths.get(path) ?? node.kernel.addNetns(path);
    node.write(GO_FILE, GO_RECORD);
    const { json } = await node.fail("ADD", 111);
    assertStringIncludes(json.details, `attachment ${GO_FILE} has it`);
    assertEquals(node.files(), [GO_FILE]);
  }
});

Deno.test("a pod that lives has its function also when an older record of a dead one is there", async () => {
  using node = await TestNode.added();
  node.claim("dead", { netns: DEAD, bootTimeUs: 1 });
  node.kernel.addNetns("/run/netns/second");
  const { json } = await node.fail("ADD", 111, second);
  assertStringIncludes(json.details, 'container "container1" has it');
  assertEquals([node.whereIs(node.device), node.files().length], [POD, 2]);
});
