import type { Device } from "../rig/memory/kernel.ts";
import { TestNode } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

const VALID = "cni.dev/valid-attachments";
const EBUSY = 16;
const GO_RECORD = JSON.stringify({
  version: "1.0",
  deviceID: "0000:3b:00.9",
  sandboxRdmaDevName: "mlx5_9",
  containerRdmaDevName: "mlx5_9",
});
const POD_ID = "0123456789abcdef".repeat(4);

/** A node with attachments of containers "a", "b" ... of a network, each with a function and a pod of its own. */
async function nodeWith(...names: string[]): Promise<{ node: TestNode; devices: Device[] }> {
  const node = new TestNode();
  const devices = [];
  for (const [i, name] of names.entries()) {
    const [network, containerID] = name.split(":") as [string, string];
    const deviceID = `0000:3b:01.${i}`;
    node.kernel.addFunction(deviceID);
    devices.push(node.kernel.addDevice(deviceID, 20 + i));
    node.kernel.addNetns(`/run/netns/${containerID}`);
    const variables = { CNI_CONTAINERID: containerID, CNI_NETNS: `/run/netns/${containerID}` };
    await node.succeed("ADD", { variables, config: { name: network, deviceID } });
  }
  return { node, devices };
}

const gc = (containers: string[], more: object = {}) => ({
  config: { [VALID]: containers.map((containerID) => ({ containerID, ifname: "net1" })), ...more },
  variables: { CNI_CONTAINERID: undefined, CNI_IFNAME: undefined, CNI_NETNS: undefined },
});

Deno.test("GC Restores and removes what is no longer valid, and leaves the rest", async () => {
  const { node, devices } = await nodeWith("net:a", "net:b", "net:c", "other:d");
  using _node = node;
  const { output } = await node.succeed("GC", gc(["b"]));
  assertEquals(devices.map((device) => node.whereIs(device)), [
    "host",
    "/run/netns/b",
    "host",
    "/run/netns/d",
  ]);
  assertEquals(node.files(), ["net-b-net1", "other-d-net1"]);
  assertEquals(output, "");
});

Deno.test("with an empty list all of the network is stale", async () => {
  const { node } = await nodeWith("net:a", "net:b");
  using _node = node;
  await node.succeed("GC", gc([]));
  assertEquals(node.files(), []);
});

Deno.test("the older key for valid attachments is understood", async () => {
  const { node } = await nodeWith("net:a", "net:b");
  using _node = node;
  const older = { "cni.dev/attachments": [{ containerID: "a", ifname: "net1" }], [VALID]: null };
  await node.succeed("GC", gc([], older));
  assertEquals(node.files(), ["net-a-net1"]);
});

Deno.test("without either key nothing is collected", async () => {
  const { node } = await nodeWith("net:a");
  using _node = node;
  const { lines } = await node.succeed("GC", gc([], { [VALID]: null }));
  assertEquals(node.files(), ["net-a-net1"]);
  assertStringIncludes(lines.join(""), "nothing is collected");
});

Deno.test("another interface of a valid container is stale", async () => {
  const { node } = await nodeWith("net:a");
  using _node = node;
  await node.succeed("GC", gc([], { [VALID]: [{ containerID: "a", ifname: "net2" }] }));
  assertEquals(node.files(), []);
});

Deno.test("a network whose name begins like this one's keeps its attachments", async () => {
  const { node } = await nodeWith("net-a:b", "net:c");
  using _node = node;
  await node.succeed("GC", gc([]));
  assertEquals(node.files(), ["net-a-b-net1"]);
});

Deno.test("a record of the Go plugin is collected if its file's name can mean nothing else", async () => {
  using node = new TestNode();
  node.write(`net-${POD_ID}-net1`, GO_RECORD);
  node.write("net-a-b-net1", GO_RECORD);
  node.write(`net-a-${POD_ID}-net1`, GO_RECORD);
  await node.succeed("GC", gc([]));
  assertEquals(node.files(), [`net-a-${POD_ID}-net1`, "net-a-b-net1"].sort());
});

Deno.test("a valid record of the Go plugin stays", async () => {
  using node = new TestNode();
  node.write(`net-${POD_ID}-net1`, GO_RECORD);
  await node.succeed("GC", gc([POD_ID]));
  assertEquals(node.files().length, 1);
});

Deno.test("an unreadable record of this network is removed, one that may be another's stays", async () => {
  using node = new TestNode();
  node.write(`net-${POD_ID}-net1`, "{");
  node.write("net-a-net1", "{");
  const { lines } = await node.succeed("GC", gc([]));
  assertEquals(node.files(), ["net-a-net1"]);
  assertStringIncludes(lines.join(""), "it is not JSON");
});

Deno.test("what crashes left is removed, other hidden files stay", async () => {
  using node = new TestNode();
  node.write(".net-a-net1.tmp", "{");
  node.write(".keep", "");
  await node.succeed("GC", gc([]));
  assertEquals(node.files(), [".keep"]);
});

Deno.test("GC goes on after a failure and tells all of them", async () => {
  const { node, devices } = await nodeWith("net:a", "net:b", "net:c");
  using _node = node;
  node.kernel.onMove = (device) => device === devices[1] ? undefined : EBUSY;
  const { json } = await node.fail("GC", 120, gc([]));
  assertStringIncludes(json.msg, "Cannot collect 2 attachments");
  assertStringIncludes(json.msg, "net-a-net1: Cannot move");
  assertStringIncludes(json.msg, "net-c-net1: Cannot move");
  assertEquals(node.files(), ["net-a-net1", "net-c-net1"]);
  assertEquals(node.whereIs(devices[1]!), "host");
});

Deno.test("GC on a node without records makes no state directory", async () => {
  using node = new TestNode();
  await node.succeed("GC", gc([]));
  assertEquals(node.state.exists(), false);
});

Deno.test("a GC that cannot take the lock is code 11", async () => {
  const { node } = await nodeWith("net:a");
  using _node = node;
  using _lock = node.kernel.tryLock(node.directory);
  await node.fail("GC", 11, gc([]));
  assertEquals(node.files(), ["net-a-net1"]);
});
