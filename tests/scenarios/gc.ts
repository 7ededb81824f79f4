// GC restores and removes what this network has left, and nothing else.
import { assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import type { Rig } from "../rig/rig.ts";
import {
  addedPod,
  assertError,
  assertNothingLeft,
  assertQuiet,
  Attachment,
  gc,
  goRecord,
  newPod,
  records,
  type Scenario,
  scenario,
  writeRecord,
} from "./scenario.ts";

const VALID = "cni.dev/valid-attachments";
const OLDER = "cni.dev/attachments";
/** A container ID as runtimes make them, which cannot be a part of a network's name. */
const HEX = "0123456789abcdef".repeat(4);

/** Adds a virtual function to a container that is called as its namespace. */
async function addTo(rig: Rig, netns: string, number: number, name = "net"): Promise<Attachment> {
  await rig.addNetns(netns);
  const pod = new Attachment(rig, rig.vf(number), { netns, containerId: netns, config: { name } });
  await pod.add();
  return pod;
}

export const GC: Scenario[] = [
  scenario("gc: stale attachments of this network go, valid ones and other networks' stay", async (rig) => {
    const stale = await addTo(rig, "stale", 0);
    const valid = await addTo(rig, "valid", 1);
    const other = await addTo(rig, "other", 2, "net-2");
    writeRecord(rig, ".net-crashed-net1.tmp", "half a rec");
    writeRecord(rig, ".keep", "");
    assertQuiet(await gc(rig, { [VALID]: [{ containerID: "valid", ifname: "net1" }] }));
    await stale.assertAt(`host ${stale.device}`);
    await valid.assertAt(`valid ${valid.device}`);
    await other.assertAt(`other ${other.device}`);
    assertEquals(records(rig), [".keep", "net-2-other-net1", "net-valid-net1"]);
  }, { sets: ["oldest", "arm64"] }),
  scenario("gc: the older key is understood, an empty list means all, a missing one none", async (rig) => {
    const pod = await addTo(rig, "pod", 0);
    const { log } = assertQuiet(await gc(rig, {}));
    assertMatch(log, /nothing is collected/);
    assertQuiet(await gc(rig, { [VALID]: null, [OLDER]: [{ containerID: "pod", ifname: "net1" }] }));
    assertEquals(records(rig), ["net-pod-net1"]);
    await pod.assertAt(`pod ${pod.device}`);
    assertQuiet(await gc(rig, { [VALID]: [] }));
    await assertNothingLeft(rig, pod);
  }),
  scenario("gc: another interface of a valid container is stale", async (rig) => {
    const pod = await addTo(rig, "pod", 0);
    assertQuiet(await gc(rig, { [VALID]: [{ containerID: "pod", ifname: "net2" }] }));
    await assertNothingLeft(rig, pod);
  }),
  scenario("gc: a namespace that lives on without path is found", async (rig) => {
    const pod = await addedPod(rig);
    await rig.holdNetns("pod");
    await rig.removePath("pod");
    assertQuiet(await gc(rig, { [VALID]: [] }));
    await assertNothingLeft(rig, pod);
  }, { sets: ["oldest"] }),
  scenario("gc: records of the Go plugin and unreadable ones are known by their file's name", async (rig) => {
    const pod = await newPod(rig);
    await rig.moveDevice(pod.device, "host", "pod");
    const record = goRecord(pod.function_, pod.device);
    writeRecord(rig, `net-${HEX}-net1`, record);
    writeRecord(rig, `net-${HEX}-net2`, "broken");
    writeRecord(rig, `net-${HEX}-net3`, { ...record, deviceID: "0000:7f:00.1" });
    writeRecord(rig, `net-2-${HEX}-net1`, record);
    writeRecord(rig, "net-short-net1", { ...record, deviceID: "0000:7f:00.0" });
    writeRecord(rig, "net-short-net2", "broken");
    const { log } = assertQuiet(await gc(rig, { [VALID]: [{ containerID: HEX, ifname: "net3" }] }));
    assertMatch(log, /it is not JSON/);
    // Which network the short ones are of cannot be told, one is of another network, one is valid.
    const left = [`net-2-${HEX}-net1`, `net-${HEX}-net3`, "net-short-net1", "net-short-net2"];
    assertEquals(records(rig), left.sort());
    await pod.assertAt(`pod ${pod.device}`); // the other network's record claims it
  }),
  scenario("gc: a failure does not keep it from the rest, and is reported", async (rig) => {
    const pods = [await addTo(rig, "one", 0), await addTo(rig, "two", 1), await addTo(rig, "three", 2)];
    await rig.moveDevice(pods[2]!.device, "three", "host"); // so that nothing is to be moved
    const collected = await gc(rig, { [VALID]: [] }, { isPowerless: true });
    assertError(
      collected,
      120,
      /Cannot collect 2 attachments.*net-one-net1: Cannot move.*net-two-net1: Cannot move/s,
    );
    assertEquals(records(rig), ["net-one-net1", "net-two-net1"]);
    assertQuiet(await gc(rig, { [VALID]: [] }));
    await assertNothingLeft(rig, ...pods);
  }, { isExecutedOnly: true }),
  scenario("gc: where there was never an ADD neither it nor DEL makes a directory", async (rig) => {
    await new Attachment(rig, rig.vf(0)).del();
    assertQuiet(await gc(rig, { [VALID]: [] }));
    assertThrows(() => Deno.statSync(rig.directory), Deno.errors.NotFound);
  }),
];
