import { CniError } from "../../src/cni/error.ts";
import { lockState } from "../../src/plugin/record/lock.ts";
import { parseRecord } from "../../src/plugin/record/record.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";
import { brokenPipe, PREV_RESULT } from "../support/call.ts";

const EBUSY = 16;

Deno.test("ADD moves the device, records it and prints the result it got", async () => {
  using node = new TestNode();
  const { json, output } = await node.succeed("ADD");
  assertEquals(json, PREV_RESULT);
  assertEquals(output, `${JSON.stringify(PREV_RESULT)}\n`);
  assertEquals(node.whereIs(node.device), POD);
  assertEquals(node.files(), [FILE]);
  const record = parseRecord(Deno.readTextFileSync(`${node.directory}/${FILE}`), 0);
  assertEquals(record, node.record({ createdAt: record.createdAt, bootTimeUs: node.kernel.bootTimeUs }));
  assertEquals(Math.abs(Date.now() - record.createdAt) < 60_000, true);
});

for (
  const [what, args, pod] of [
    ["kubelet's", "IgnoreUnknown=1;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=trainer-0.b;K8S_POD_UID=7", {
      namespace: "team-a",
      name: "trainer-0.b",
    }],
    ["those of a runtime without Kubernetes", "IgnoreUnknown=1", undefined],
    ["a namespace without a pod", "K8S_POD_NAMESPACE=team-a", undefined],
    ["names that Kubernetes would refuse", "K8S_POD_NAMESPACE=Team\na;K8S_POD_NAME=b", undefined],
    ["a name that would fill the record", `K8S_POD_NAMESPACE=a;K8S_POD_NAME=${"b".repeat(254)}`, undefined],
  ] as const
) {
  Deno.test(`ADD records the pod of CNI_ARGS: ${what}`, async () => {
    using node = new TestNode();
    await node.succeed("ADD", { variables: { CNI_ARGS: args } });
    assertEquals(node.recorded().pod, pod);
    await node.succeed("DEL");
    node.assertForgotten();
  });
}

Deno.test("the record is there before the device moves", async () => {
  using node = new TestNode();
  const seen: string[][] = [];
  node.kernel.onMove = () => {
    seen.push(node.files());
  };
  await node.succeed("ADD");
  assertEquals(seen, [[".holder", FILE]]);
});

Deno.test("the lock is held while a device moves", async () => {
  using node = new TestNode();
  let held = false;
  node.kernel.onMove = () => {
    held = node.kernel.locked.has(node.directory);
  };
  await node.succeed("ADD");
  assertEquals(held, true);
});

Deno.test("when the result cannot be printed, the device returns to the host and nothing is recorded", async () => {
  using node = new TestNode();
  assertEquals((await node.call("ADD", { writeOutput: brokenPipe })).code, 1);
  assertEquals(node.whereIs(node.device), "host");
  assertEquals(node.files(), []);
});

Deno.test("when rolling back fails too, the record stays, and DEL uses it", async () => {
  using node = new TestNode();
  let fails = true;
  node.kernel.onMove = ({ space }) => fails && space === node.pod ? EBUSY : undefined;
  const { lines } = await node.call("ADD", { writeOutput: brokenPipe });
  assertStringIncludes(lines.join(""), "Rolling back failed");
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
  fails = false;
  await node.succeed("DEL");
  assertEquals([node.whereIs(node.device), ...node.files()], ["host"]);
});

Deno.test("when the record cannot be written, no device moves", async () => {
  using node = new TestNode("file/rdma");
  Deno.writeTextFileSync(`${node.temporary}/file`, "");
  const { json } = await node.fail("ADD", 5);
  assertStringIncludes(json.msg, node.directory);
  assertEquals(node.whereIs(node.device), "host");
});

Deno.test("when the record's file cannot be replaced, no device moves", async () => {
  using node = new TestNode();
  Deno.mkdirSync(`${node.directory}/${FILE}`, { recursive: true });
  await node.fail("ADD", 5);
  assertEquals(node.whereIs(node.device), "host");
});

Deno.test("a device that is not in the pod after its move is code 113 and rolled back", async () => {
  using node = new TestNode();
  const other = node.kernel.addDevice(VF, 3);
  node.kernel.onMove = (device) => {
    if (device !== other) return;
    node.kernel.devices.splice(node.kernel.devices.indexOf(node.device), 1);
  };
  await node.fail("ADD", 113);
  assertEquals(node.whereIs(other), "host");
  assertEquals(node.files(), []);
});

Deno.test("an ADD of the same attachment in a new namespace brings the device over", async () => {
  using node = new TestNode();
  await node.succeed("ADD");
  node.kernel.addNetns("/run/netns/again");
  await node.succeed("ADD", { variables: { CNI_NETNS: "/run/netns/again" } });
  assertEquals(node.whereIs(node.device), "/run/netns/again");
  assertEquals(node.files(), [FILE]);
});

Deno.test("an ADD of the same attachment with another function exchanges the devices", async () => {
  using node = await TestNode.added();
  node.kernel.addFunction("0000:3b:00.3");
  const other = node.kernel.addDevice("0000:3b:00.3", 3);
  await node.succeed("ADD", { config: { deviceID: "0000:3b:00.3" } });
  assertEquals([node.device, other].map((device) => node.whereIs(device)), ["host", POD]);
});

Deno.test("an ADD in a new namespace at the old path records the new one", async () => {
  using node = await TestNode.added();
  const renewed = node.kernel.addNetns(POD, node.pod.inode, "77");
  node.device.space = renewed;
  await node.succeed("ADD");
  assertEquals(node.recorded().netns?.cookie, "77");
});

Deno.test("an unreadable record is replaced", async () => {
  using node = new TestNode();
  node.write(FILE, "{");
  const { lines } = await node.succeed("ADD");
  assertStringIncludes(lines.join(""), "it is replaced");
  await node.succeed("CHECK");
});

Deno.test("a uverbs device whose number changes is warned of", async () => {
  using node = new TestNode();
  node.kernel.onMove = (device) => {
    device.uverbs = "uverbs0";
  };
  const { lines } = await node.succeed("ADD");
  assertStringIncludes(lines.join(""), "had /dev/infiniband/uverbs2 and has /dev/infiniband/uverbs0");
});

Deno.test("without ib_core ADD is code 100", async () => {
  using node = new TestNode();
  node.kernel.hasRdma = false;
  const { json } = await node.fail("ADD", 100);
  assertStringIncludes(json.details, "modprobe -a ib_core mlx5_ib");
});

Deno.test("an attachment whose file is another one's is code 7, and the other's record stays", async () => {
  using node = new TestNode();
  const other = node.record({ attachment: { network: "net-container1", containerID: "x", ifname: "net1" } });
  node.write("net-container1-x-net1", other);
  await node.fail("ADD", 7, { variables: { CNI_CONTAINERID: "container1-x" } });
  assertEquals(node.whereIs(node.device), "host");
  assertEquals(node.recorded("net-container1-x-net1"), other);
});

Deno.test("a lock that stays taken is code 11 when lockTimeoutMs is over", async () => {
  using node = new TestNode();
  node.state.create();
  using _lock = node.kernel.lock(node.directory, 0);
  const { json } = await node.fail("ADD", 11);
  assertEquals(json?.msg, `Cannot lock "${node.directory}" within 100 s: another process has it`);
  assertEquals(node.kernel.sleptMs, 100_000);
  await node.fail("ADD", 11, { config: { lockTimeoutMs: 1000 } });
  assertEquals(node.kernel.sleptMs, 101_000);
  assertEquals(node.whereIs(node.device), "host");
});

Deno.test("a lock that comes free is taken at once", async () => {
  using node = new TestNode();
  node.state.create();
  const lock = node.kernel.lock(node.directory, 0)!;
  node.kernel.onSleep = () => {
    if (node.kernel.sleptMs >= 500) lock[Symbol.dispose]();
  };
  await node.succeed("ADD");
  assertEquals(node.kernel.sleptMs, 500);
});

Deno.test("who waits in vain is told who has the lock, what for and how long", async () => {
  using node = new TestNode();
  let error: Error | undefined;
  node.kernel.onMove = () => {
    node.kernel.bootTimeUs += 2_500_000;
    error = assertThrows(() => lockState(node.kernel, node.directory, "vf-mac", 0), CniError);
  };
  await node.succeed("ADD");
  assertEquals(
    error?.message,
    `Cannot lock "${node.directory}" within 0 s: process ${Deno.pid} has had it for 2.5 s, ` +
      "for ADD (container container1, interface net1, network net)",
  );
  assertEquals(node.files(), [FILE]);
});

Deno.test("a directory without space is locked all the same", async () => {
  using node = await TestNode.added();
  Deno.mkdirSync(`${node.directory}/.holder`);
  await node.succeed("DEL");
  assertEquals(node.whereIs(node.device), "host");
});
