// `rdma-cni gc` on nodes whose pods have met different ends.
import fc from "fast-check";
import { ExitCode } from "../../src/cli/errors.ts";
import { collectGarbage } from "../../src/cli/gc.ts";
import type { GarbageOptions } from "../../src/node/garbage.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { goRecord } from "../scenarios/scenario.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { TestTerminal } from "../support/terminal.ts";

/** Runs `gc` and returns its exit code and what it printed. */
function gc(node: TestNode, options: GarbageOptions = {}) {
  const terminal = new TestTerminal();
  const code = terminal.print(collectGarbage(node, terminal, options));
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

const FATES = ["lives", "held", "ended", "replaced", "out of reach", "late"] as const;
type Fate = typeof FATES[number];
const LIVING: readonly Fate[] = ["lives", "held"];

type Pod = Awaited<ReturnType<typeof startPod>>;

/** A pod with a virtual function, whose device has a name of its own there. */
async function startPod(node: TestNode, number: number, fate: Fate, network = "net") {
  const deviceID = `0000:4b:00.${number}`;
  node.kernel.addFunction(deviceID);
  const device = node.kernel.addDevice(deviceID, 10 + number);
  const hostName = device.name;
  const path = `/run/netns/${number}`;
  const space = node.kernel.addNetns(path, 5000 + number, `cookie${number}`);
  await node.succeed("ADD", {
    variables: { CNI_NETNS: path, CNI_CONTAINERID: `pod${number}` },
    config: { name: network, deviceID, rdmaDeviceName: `rdma${number}` },
  });
  const file = `${network}-pod${number}-net1`;
  const record = Deno.readTextFileSync(`${node.directory}/${file}`);
  return { fate, network, file, device, space, hostName, record };
}

/** A node whose pod has gone. */
async function nodeAfterPod(): Promise<TestNode> {
  const node = await TestNode.added();
  node.endPod();
  node.kernel.endNetns(node.pod);
  return node;
}

function meetFate(node: TestNode, { fate, space, device }: Pod): void {
  const { kernel } = node;
  if (fate === "lives") return;
  const [path = ""] = [...kernel.paths].find(([, other]) => other === space) ?? [];
  kernel.paths.delete(path);
  if (fate === "held") kernel.held.set(`/proc/${space.inode}/ns/net`, space);
  if (fate === "ended" || fate === "replaced") kernel.endNetns(space);
  if (fate === "replaced") kernel.addNetns(path, space.inode, "new");
  if (fate !== "late") return;
  // The function was given to another pod, and the DEL of this one was lost.
  kernel.endNetns(space);
  const next = kernel.addNetns(`${path}-next`);
  kernel.place(device, next);
  const { deviceId, index } = device;
  const record = node.record({
    attachment: { network: "net", containerID: `next-${index}`, ifname: "net1" },
    deviceId,
    devices: [{ index, hostName: device.name, podName: device.name }],
    netns: { path: `${path}-next`, inode: next.inode, cookie: next.cookie! },
    bootTimeUs: kernel.getBootTimeUs(),
  });
  node.write(`net-next-${index}-net1`, record);
}

/** Where devices are, and the records. */
function snapshot(node: TestNode) {
  return {
    devices: node.kernel.devices.map(({ index, name, space }) => [index, name, space.inode]),
    files: node.files().map((file) => [file, Deno.readTextFileSync(`${node.directory}/${file}`)]),
  };
}

Deno.test("gc works on a node without an RDMA subsystem, where other pods run and records are from an earlier boot", async () => {
  using node = new TestNode();
  const pod = await startPod(node, 0, "lives");
  Deno.writeTextFileSync(
    `${node.directory}/${pod.file}`,
    pod.record.replace(node.kernel.getBootId(), "earlier"),
  );
  node.kernel.hasRdma = false;
  const { code, stderr } = gc(node);
  assertEquals([code, node.files()], [ExitCode.ok, []], stderr);
});

Deno.test("gc restores what pods that are gone have left, and touches nothing of the others", async () => {
  const fates = fc.array(fc.tuple(fc.constantFrom(...FATES), fc.constantFrom("net", "other")), {
    maxLength: 6,
  });
  const property = fc.asyncProperty(fates, fc.constantFrom(undefined, "net"), async (fates, network) => {
    using node = new TestNode();
    const pods: Pod[] = [];
    for (const [number, [fate, name]] of fates.entries()) pods.push(await startPod(node, number, fate, name));
    for (const pod of pods) meetFate(node, pod);
    node.kernel.onMove = ({ name }) => {
      throw new Error(`${name} was moved`);
    };
    const options = network === undefined ? {} : { network };

    const before = snapshot(node);
    const dry = gc(node, { ...options, dryRun: true });
    assertEquals([dry.code, snapshot(node)], [ExitCode.ok, before]);

    const { code, stderr } = gc(node, options);
    const isMeant = (pod: Pod) => network === undefined || pod.network === network;
    const stale = pods.filter((pod) => isMeant(pod) && !LIVING.includes(pod.fate));
    const left = stale.filter(({ fate }) => fate === "out of reach");
    const some = left.length < stale.length ? ExitCode.partial : ExitCode.failed;
    assertEquals(code, left.length === 0 ? ExitCode.ok : some, stderr);
    for (const pod of pods) {
      const isRestored = stale.includes(pod) && !left.includes(pod);
      assertEquals(node.files().includes(pod.file), !isRestored, `${pod.fate}: ${pod.file}`);
      if (isRestored && pod.fate !== "late") {
        assertEquals([pod.device.space === node.kernel.host, pod.device.name], [true, pod.hostName]);
      } else if (LIVING.includes(pod.fate)) {
        assertEquals(pod.device.space === pod.space, true);
        assertEquals(Deno.readTextFileSync(`${node.directory}/${pod.file}`), pod.record);
      }
    }
    const after = snapshot(node);
    gc(node, options);
    assertEquals(snapshot(node), after);
  });
  await fc.assert(property, { numRuns: 60 });
});

Deno.test("gc says what it would do, does it, and says that there is nothing to do", async () => {
  using node = await nodeAfterPod();
  const plan = gc(node, { dryRun: true });
  assertMatch(
    plan.stdout,
    /^net-container1-net1: .*pod has gone: the record of 0000:3b:00\.2 would be removed$/m,
  );
  assertEquals(plan.stderr, "");
  assertMatch(gc(node).stderr, /are on the host, the record is removed$/m);
  assertEquals(gc(node), { code: ExitCode.ok, stdout: "", stderr: "No record is stale\n" });
  node.assertForgotten();
});

Deno.test("gc tells programs the records, those it cannot read, and the devices that no record explains", async () => {
  using node = await TestNode.added();
  node.write(FILE, node.record({ bootId: "boot-0" }));
  const valueOf = (options?: GarbageOptions) => collectGarbage(node, node.terminal, options).value;
  const value = { dryRun: true, records: [], unreadable: [], unexplainedDevices: [] };
  const reason = "it is from before the last boot";
  const record = { file: FILE, deviceID: VF, state: "stale", reason };
  assertEquals(valueOf({ dryRun: true }), { ...value, records: [record] });
  node.state.remove(FILE);
  const unexplainedDevices = [{ name: "mlx5_2", index: 2, netns: POD }];
  assertEquals(valueOf(), { ...value, dryRun: false, unexplainedDevices });
  node.write("net-torn-net1", "{");
  const { stderr } = gc(node);
  assertMatch(stderr, /net-torn-net1.*not JSON: left alone\n/);
  assertMatch(stderr, /^RDMA device mlx5_2 \(index 2\) is in \/run\/netns\/pod, .* left alone$/m);
  assertEquals([node.whereIs(node.device), node.files()], [POD, ["net-torn-net1"]]);
});

Deno.test("gc leaves a record of the Go plugin whose device is away, and takes that for explained", async () => {
  using node = await TestNode.added();
  node.write(FILE, JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2")));
  assertEquals(gc(node), { code: ExitCode.ok, stdout: "", stderr: "No record is stale\n" });
  assertEquals([node.whereIs(node.device), node.files()], [POD, [FILE]]);
});

Deno.test("gc says where the device of a pod that is gone is, and leaves it and its record", async () => {
  using node = await TestNode.added();
  node.endPod();
  node.kernel.place(node.device, node.kernel.addNetns("/run/netns/other", 77, "77"));
  const { code, stderr } = gc(node);
  assertEquals(code, ExitCode.failed);
  assertMatch(stderr, /^net-container1-net1: .*mlx5_2 of .* is in \/run\/netns\/other: the record stays$/m);
  assertEquals([node.whereIs(node.device), node.files()], ["/run/netns/other", [FILE]]);
});

Deno.test("gc fails with a lock that stays taken", async () => {
  using node = await nodeAfterPod();
  using lock = node.kernel.lock(node.directory, 0);
  assertThrows(() => gc(node), Error, "Cannot lock");
  assertEquals(node.files(), [FILE]);
  assert(lock);
});

Deno.test("gc does nothing when it cannot see all processes", async () => {
  using node = await nodeAfterPod();
  node.kernel.isComplete = false;
  assertThrows(() => gc(node), Error, "not all processes of this machine can be seen");
  assertEquals(node.files(), [FILE]);
});
