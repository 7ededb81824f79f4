// What gc, doctor and pods say of the same records: they agree, and what they advise ends what they found.
import fc from "fast-check";
import { collectGarbage } from "../../src/cli/gc.ts";
import { examineRecords } from "../../src/cli/doctor/records.ts";
import { collect } from "../../src/node/pods.ts";
import { type Fate, judge } from "../../src/node/fate.ts";
import { pathTo, takeInventory } from "../../src/node/inventory.ts";
import type { StoredRecord } from "../../src/plugin/record/state.ts";
import type { Device, Space } from "../rig/memory/kernel.ts";
import { TestNode } from "../rig/memory/node.ts";
import { goRecord } from "../scenarios/scenario.ts";
import { assert, assertEquals } from "../support/assert.ts";

interface Pod {
  readonly number: number;
  readonly file: string;
  readonly path: string;
  readonly space: Space;
  readonly device: Device;
}

/** What can become of a pod, its device and its record; several of these, in any order. */
const EVENTS: Record<string, (node: TestNode, pod: Pod) => unknown> = {
  "the path goes": ({ kernel }, { path }) => kernel.paths.delete(path),
  "a process is in it": ({ kernel }, { number, space }) => kernel.held.set(`/proc/${number}/ns/net`, space),
  "it ends": ({ kernel }, { path, number, space }) => {
    kernel.paths.delete(path);
    kernel.held.delete(`/proc/${number}/ns/net`);
    kernel.endNetns(space);
  },
  "somebody takes the device to the host": ({ kernel }, { device }) => kernel.place(device, kernel.host),
  "somebody takes the device elsewhere": ({ kernel }, { device, number }) => {
    kernel.place(device, kernel.addNetns(`/run/netns/other${number}`));
  },
  "the driver is unbound": ({ kernel }, { device }) => {
    kernel.bus.delete(device.deviceId);
    if (kernel.devices.includes(device)) kernel.remove(device);
  },
  "the record is of the Go plugin": (node, { file, device }) => {
    if (node.files().includes(file)) node.write(file, JSON.stringify(goRecord(device, device.name)));
  },
  "the node boots": (node, { file }) => {
    const text = Deno.readTextFileSync(`${node.directory}/${file}`);
    node.write(file, text.replace(node.kernel.bootId, "earlier"));
  },
  "another pod gets the function": (node, { device, number, path }) => {
    const { kernel } = node;
    if (device.space !== kernel.host || !kernel.devices.includes(device)) return;
    const space = kernel.addNetns(`${path}-next`);
    kernel.place(device, space);
    const { name, index, deviceId } = device;
    node.claim(`next${number}`, {
      deviceId,
      devices: [{ index, hostName: name, podName: name }],
      netns: { path: `${path}-next`, inode: space.inode, cookie: space.cookie! },
      bootTimeUs: kernel.getBootTimeUs(),
    });
  },
};

async function startPod(node: TestNode, number: number): Promise<Pod> {
  const deviceID = `0000:4b:00.${number}`;
  node.kernel.addFunction(deviceID);
  const device = node.kernel.addDevice(deviceID, 10 + number);
  const path = `/run/netns/${number}`;
  const space = node.kernel.addNetns(path);
  await node.succeed("ADD", {
    variables: { CNI_NETNS: path, CNI_CONTAINERID: `pod${number}` },
    config: { deviceID, rdmaDeviceName: `rdma${number}` },
  });
  return { number, file: `net-pod${number}-net1`, path, space, device };
}

interface Saying {
  readonly file: string;
  readonly state: string;
  readonly remedy: string | undefined;
}

function sayings(node: TestNode): Record<"gc" | "doctor" | "pods", Saying[]> {
  const { records } = collectGarbage(node, node.terminal, { dryRun: true }).value as { records: Saying[] };
  const machine = { kernel: node.kernel, root: "", executable: "rdma-cni" };
  const findings = examineRecords(machine, takeInventory(node.kernel, node.state));
  return {
    gc: records,
    doctor: findings.filter(({ level }) => level !== "ok").map(({ text, fix }) => {
      const [, file = "", stale] = /^(\S+?):? (is stale)?/.exec(text) ?? [];
      return { file, state: stale ? "stale" : "other", remedy: fix };
    }),
    pods: collect(node.kernel, node.state).devices.map(({ record, status, advice }) => (
      { file: record, state: status, remedy: advice }
    )),
  };
}

function follow(node: TestNode, record: StoredRecord, { state, namespace }: Fate): void {
  const { kernel } = node;
  if (state === "stale") collectGarbage(node, node.terminal);
  if (state === "missing") node.state.remove(record.file); // by the pod's DEL
  const known = [...kernel.paths.values(), ...kernel.held.values()];
  const own = kernel.devices.filter(({ deviceId }) => deviceId === record.deviceId);
  const ended: Partial<Record<typeof state, Space[]>> = {
    held: known.filter(({ inode }) => inode === namespace?.inode),
    lost: own.map(({ space }) => space),
  };
  for (const space of new Set(ended[state])) {
    for (const paths of [kernel.paths, kernel.held]) {
      for (const [path, one] of paths) if (one === space) paths.delete(path);
    }
    kernel.endNetns(space);
  }
}

Deno.test("gc, doctor and pods say the same of any record, and what they advise ends what they found", async () => {
  const event = fc.tuple(fc.nat({ max: 1 }), fc.constantFrom(...Object.keys(EVENTS)));
  const events = fc.array(event, { maxLength: 8 });
  const property = fc.asyncProperty(events, async (events) => {
    using node = new TestNode();
    const pods = [await startPod(node, 0), await startPod(node, 1)];
    for (const [number, event] of events) EVENTS[event]!(node, pods[number]!);
    node.kernel.onMove = () => {
      throw new Error("moved");
    };
    for (let round = 0; round < 10; round++) {
      const inventory = takeInventory(node.kernel, node.state);
      const fateOf = (record: StoredRecord) => judge(inventory, record, "rdma-cni");
      const said = sayings(node);
      for (const record of inventory.records) {
        const { state, remedy, namespace } = fateOf(record);
        const [pods, doctor, gc] = [said.pods, said.doctor, said.gc].map((of) =>
          of.find(({ file }) => file === record.file)
        );
        assertEquals([pods?.state, pods?.remedy, doctor?.remedy], [state, remedy, remedy]);
        assertEquals(doctor?.state === "stale", state === "stale");
        assertEquals(gc?.state, state === "stale" ? "stale" : state === "lost" ? "away" : undefined);
        assert(namespace === undefined || pathTo(namespace) !== "");
      }
      const odd = inventory.records.find((record) => fateOf(record).state !== "present");
      if (!odd) return;
      follow(node, odd, fateOf(odd));
    }
    throw new Error(`Still odd: ${JSON.stringify(sayings(node))}`);
  });
  await fc.assert(property, { numRuns: 150 });
});
