// ADD and the lock, beyond tests/scenarios/add.ts.
import { CniError } from "../../src/cni/error.ts";
import { lockState } from "../../src/plugin/record/lock.ts";
import { parseRecord } from "../../src/plugin/record/record.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";
import { brokenPipe, PREV_RESULT } from "../support/call.ts";

const EBUSY = 16;
const OTHER = "/run/netns/other";

Deno.test("ADD moves the device, records it and prints the result it got", async () => {
  using node = new TestNode();
  const { output } = await node.succeed("ADD");
  assertEquals(output, `${JSON.stringify(PREV_RESULT)}\n`);
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
  const record = parseRecord(Deno.readTextFileSync(`${node.directory}/${FILE}`), 0);
  assertEquals(record, node.record({ createdAt: record.createdAt, bootTimeUs: node.kernel.bootTimeUs }));
  assertEquals(Math.abs(Date.now() - record.createdAt) < 60_000, true);
});

for (
  const [args, pod] of [
    ["Unknown=1;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=b-0.c", { namespace: "team-a", name: "b-0.c" }],
    ["K8S_POD_NAMESPACE=team-a", undefined],
    ["K8S_POD_NAMESPACE=Team\na;K8S_POD_NAME=b", undefined], // names that Kubernetes would refuse
    [`K8S_POD_NAMESPACE=a;K8S_POD_NAME=${"b".repeat(254)}`, undefined],
  ] as const
) {
  Deno.test(`ADD records the pod of CNI_ARGS ${JSON.stringify(args.slice(0, 60))}`, async () => {
    using node = new TestNode();
    await node.succeed("ADD", { variables: { CNI_ARGS: args } });
    assertEquals(node.recorded().pod, pod);
  });
}

Deno.test("a device moves under the lock, and with its record there", async () => {
  using node = new TestNode();
  let seen: unknown;
  node.kernel.onMove = () => void (seen = [node.kernel.locked.has(node.directory), node.files()]);
  await node.succeed("ADD");
  assertEquals(seen, [true, [".holder", FILE]]);
});

Deno.test("when rolling back fails, the record stays, and DEL uses it", async () => {
  using node = new TestNode();
  node.kernel.onMove = ({ space }) => space === node.pod ? EBUSY : undefined;
  const { code, lines } = await node.call("ADD", { writeOutput: brokenPipe });
  assertStringIncludes(lines.join(""), "Rolling back failed");
  assertEquals([code, node.whereIs(node.device), ...node.files()], [1, POD, FILE]);
  node.kernel.onMove = () => {};
  await node.succeed("DEL");
  node.assertForgotten();
});

Deno.test("a device that is not in the pod after its move is code 113 and rolled back", async () => {
  using node = new TestNode();
  const other = node.kernel.addDevice(VF, 3);
  node.kernel.onMove = (device) => {
    if (device === other) node.kernel.devices.splice(node.kernel.devices.indexOf(node.device), 1);
  };
  await node.fail("ADD", 113);
  assertEquals([node.whereIs(other), ...node.files()], ["host"]);
});

Deno.test("an ADD that is repeated brings the device to a new namespace, and exchanges it for another function's", async () => {
  using node = await TestNode.added();
  node.kernel.addNetns(OTHER);
  const variables = { CNI_NETNS: OTHER };
  await node.succeed("ADD", { variables });
  assertEquals([node.whereIs(node.device), ...node.files()], [OTHER, FILE]);
  node.kernel.addFunction("0000:3b:00.3");
  const other = node.kernel.addDevice("0000:3b:00.3", 3);
  await node.succeed("ADD", { variables, config: { deviceID: "0000:3b:00.3" } });
  assertEquals([node.device, other].map((device) => node.whereIs(device)), ["host", OTHER]);
});

Deno.test("an ADD in a new namespace at the old path records the new one", async () => {
  using node = await TestNode.added();
  node.device.space = node.kernel.addNetns(POD, node.pod.inode, "77");
  await node.succeed("ADD");
  assertEquals(node.recorded().netns?.cookie, "77");
});

Deno.test("an unreadable record is replaced", async () => {
  using node = new TestNode();
  node.write(FILE, "{");
  assertStringIncludes((await node.succeed("ADD")).lines.join(""), "it is replaced");
  await node.succeed("CHECK");
});

for (
  const [before, after, level, words] of [
    ["uverbs2", "uverbs0", "warning", "had /dev/infiniband/uverbs2 and has /dev/infiniband/uverbs0"],
    ["uverbs2", undefined, "warning", "had /dev/infiniband/uverbs2 and has none"],
    [undefined, "uverbs2", "info", "had no uverbs device when it was moved and has /dev/infiniband/uverbs2"],
    ["uverbs2", "uverbs2", undefined, ""],
  ] as const
) {
  Deno.test(`a device whose uverbs device was ${before} before its move and is ${after} is told`, async () => {
    using node = new TestNode();
    node.kernel.hasUverbs = before !== undefined;
    node.kernel.onMove = (device) => void Object.assign(device, { uverbs: after });
    const { lines } = await node.succeed("ADD");
    const told = lines.filter((line) => /level="(warning|info)" msg="RDMA device mlx5_2 had/.test(line));
    const isRight = (line: string) => line.includes(`level="${level}"`) && line.includes(words);
    assertEquals(told.map(isRight), level ? [true] : []);
  });
}

Deno.test("names that join to another attachment's file are code 7 in ADD, and DEL leaves the record", async () => {
  using node = new TestNode();
  const other = node.record({ attachment: { network: "net-container1", containerID: "x", ifname: "net1" } });
  node.write("net-container1-x-net1", other);
  const variables = { CNI_CONTAINERID: "container1-x" };
  await node.fail("ADD", 7, { variables });
  await node.succeed("DEL", { variables });
  assertEquals([node.whereIs(node.device), node.recorded("net-container1-x-net1")], ["host", other]);
});

// The lock.

Deno.test("a lock that stays taken is code 11 when lockTimeoutMs is over", async () => {
  for (const command of ["ADD", "DEL", "GC"]) {
    using node = new TestNode();
    node.state.create();
    using _lock = node.kernel.lock(node.directory, 0);
    const config = { "cni.dev/valid-attachments": [], lockTimeoutMs: 2000 };
    const { json } = await node.fail(command, 11, { config });
    assertEquals(json.msg, `Cannot lock "${node.directory}" within 2 s: another process has it`);
    assertEquals([node.kernel.sleptMs, node.whereIs(node.device)], [2000, "host"]);
  }
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
