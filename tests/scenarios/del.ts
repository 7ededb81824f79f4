// DEL succeeds and loses nothing, whatever happened to pod, namespace, device or record since ADD.
import { assert, assertEquals, assertMatch, assertNotEquals } from "../support/assert.ts";
import type { Async, Rig } from "../rig/rig.ts";
import {
  addedPod,
  assertNothingLeft,
  assertQuiet,
  assertWarning,
  Attachment,
  type Change,
  FILE,
  gc,
  goRecord,
  HOST,
  namedPod,
  newPod,
  placesOf,
  readRecord,
  records,
  removeRecord,
  type Scenario,
  scenario,
  writeRecord,
} from "./scenario.ts";

/** After ADD something happens; DEL, called somehow, leaves the node as it was before ADD. */
interface Restored extends Pick<Scenario, "sets"> {
  name: string;
  /** What the device is called in the pod, if not as on the host. */
  podName?: "roce0";
  happens?: (rig: Rig, pod: Attachment) => Async<void>;
  del?: Change;
}

const INVALID = { rdmaDeviceName: "a b" };

const UNREADABLE = [
  "",
  '{"version":"1.1","devi',
  { version: "2.0", deviceID: "x" },
  { version: "1.1", deviceID: 7 },
];

const RESTORED: Restored[] = [
  {
    name: "CNI_NETNS is empty, and there is no prevResult",
    sets: ["oldest"],
    del: { netns: "", config: { prevResult: undefined } },
  },
  {
    name: "without CNI_NETNS, deviceID and prevResult the record is enough",
    del: { netns: undefined, config: { deviceID: undefined, prevResult: undefined } },
  },
  { name: "CNI_NETNS leads nowhere", sets: ["oldest"], del: { netns: "missing" } },
  { name: "CNI_NETNS is the host's namespace", sets: ["oldest"], del: { netns: HOST } },
  {
    name: "CNI_NETNS is the host's namespace, and the record names none",
    happens: async (rig, pod) => {
      await rig.holdNetns("pod");
      writeRecord(rig, FILE, goRecord(pod.function_, pod.device));
    },
    del: { netns: HOST },
  },
  { name: "the namespace has ended", sets: ["oldest", "arm64"], happens: (rig) => rig.endNetns("pod") },
  {
    name: "the namespace is ending, its device returns to the host meanwhile",
    sets: ["oldest"],
    happens: (rig) => rig.removePath("pod"),
  },
  {
    name: "the path has gone, but a process keeps the namespace alive",
    sets: ["oldest", "arm64"],
    happens: loseNetns,
  },
  {
    name: "the device is on the host already",
    sets: ["oldest"],
    happens: (rig, { device }) => rig.moveDevice(device, "pod", "host"),
  },
  {
    name: "the device was renamed in the pod",
    sets: ["oldest", "arm64"],
    happens: (rig, { device }) => rig.renameDevice(device, "pod", "roce0"),
  },
  {
    name: "the device returned to the host and was renamed there",
    sets: ["oldest"],
    happens: async (rig, { device }) => {
      await rig.moveDevice(device, "pod", "host");
      await rig.renameDevice(device, "host", "rocep1s0v0");
    },
  },
  {
    name: "the driver was rebound, the new device is on the host",
    sets: ["oldest"],
    happens: (rig, pod) => rig.rebind(pod.function_),
  },
  {
    name: "the driver was rebound, and the new device is in the pod",
    sets: ["oldest"],
    happens: async (rig, pod) => {
      await rig.rebind(pod.function_);
      await rig.moveDevice(pod.device, "host", "pod");
    },
  },
  {
    name:
      "the pod renamed the device that had a name, and the configuration has one now that no device can have",
    sets: ["oldest"],
    podName: "roce0",
    happens: async (rig, pod) => {
      await pod.check({ config: INVALID });
      await rig.renameDevice("roce0", "pod", "mine");
    },
    del: { config: INVALID },
  },
  {
    name: "the device returned to the host under the pod's name",
    sets: ["oldest"],
    podName: "roce0",
    happens: async (rig, pod) => {
      await rig.endNetns("pod");
      await pod.assertAt("host roce0");
    },
  },
  {
    name: "the device that had a name returned to the host and was renamed there, as udev does",
    sets: ["oldest"],
    podName: "roce0",
    happens: async (rig) => {
      await rig.moveDevice("roce0", "pod", "host");
      await rig.renameDevice("roce0", "host", "rocep1s0v0");
    },
  },
];

async function loseNetns(rig: Rig): Promise<void> {
  await rig.holdNetns("pod");
  await rig.removePath("pod");
}

/** The Go plugin's record, wherever the device is, and without deviceID in the configuration. */
const GO: (Restored & { place: "pod" | "host" })[] = [
  { name: "in the pod and renamed", sets: ["oldest", "arm64"], place: "pod", podName: "roce0" },
  { name: "on the host already", sets: ["oldest"], place: "host" },
  {
    name: "in a namespace that lost its path",
    sets: ["oldest"],
    place: "pod",
    happens: loseNetns,
    del: { netns: "" },
  },
];

export const DEL: Scenario[] = [
  ...RESTORED.map(({ name, podName, happens, del, sets }) =>
    scenario(`del: ${name}`, async (rig) => {
      const pod = podName ? await namedPod(rig) : await addedPod(rig);
      await happens?.(rig, pod);
      await pod.leave(del);
    }, { sets })
  ),

  ...GO.map(({ name, place, podName, happens, del, sets }) =>
    scenario(`del: the Go plugin's record, with the device ${name}`, async (rig) => {
      const pod = await newPod(rig, rig.vf(0), { config: { deviceID: undefined } });
      if (place === "pod") await rig.moveDevice(pod.device, "host", "pod");
      if (podName) await rig.renameDevice(pod.device, "pod", podName);
      await happens?.(rig, pod);
      writeRecord(rig, FILE, goRecord(pod.function_, pod.device, podName));
      await pod.leave(del);
    }, { sets })
  ),

  scenario("del: without record, and without namespace or function, nothing moves", async (rig) => {
    const pod = await addedPod(rig);
    removeRecord(rig);
    assertMatch((await pod.del({ netns: HOST })).log, /is the host's network namespace/);
    await pod.del({ config: { deviceID: undefined } });
    await pod.assertAt(`pod ${pod.device}`);
    assertEquals(records(rig), []);
  }),
  scenario("del: the path leads to another namespace by now", async (rig) => {
    const pod = await addedPod(rig);
    await loseNetns(rig);
    const stranger = await newPod(rig, rig.vf(1));
    await rig.moveDevice(stranger.device, "host", "pod");
    await pod.del();
    await pod.assertAt(`host ${pod.device}`);
    await stranger.assertAt(`pod ${stranger.device}`);
    assertEquals(records(rig), []);
  }, { sets: ["oldest"] }),
  scenario("del: a renamed device whose old name is taken gets a free one like it", async (rig) => {
    const pod = await addedPod(rig);
    await rig.renameDevice(pod.device, "pod", "roce0");
    await rig.renameDevice(rig.vf(1).rdmaDevices[0]!, "host", pod.device);
    assertWarning(await pod.del(), /keeps its name.*EEXIST/);
    await assertNothingLeft(rig);
    const [place] = await placesOf(rig, pod.function_);
    assertMatch(place!, /^host mlx5_\d+$/);
    assertNotEquals(place, `host ${pod.device}`);
  }, { sets: ["oldest"] }),
  scenario("del: without a record no other function's device is taken from the pod", async (rig) => {
    const pod = await addedPod(rig);
    const other = new Attachment(rig, rig.vf(1));
    await rig.moveDevice(other.device, "host", "pod");
    removeRecord(rig);
    await pod.del();
    await pod.assertAt(`host ${pod.device}`);
    await other.assertAt(`pod ${other.device}`);
    assertEquals(records(rig), []);
  }, { sets: ["oldest"] }),
  scenario("del: whatever the record has become, the function's device returns to the host", async (rig) => {
    const pod = await newPod(rig);
    for (const content of [undefined, ...UNREADABLE]) {
      await pod.add();
      if (content === undefined) removeRecord(rig);
      else writeRecord(rig, FILE, content);
      await pod.leave();
    }
  }),
  scenario("del: a record that is a link is not followed, one that is a directory stays", async (rig) => {
    const pod = await addedPod(rig);
    const precious = `${rig.directory}/../precious`;
    Deno.renameSync(`${rig.directory}/${FILE}`, precious); // a good record
    Deno.symlinkSync(precious, `${rig.directory}/${FILE}`);
    await pod.leave();
    assert(Deno.lstatSync(precious).isFile);

    await pod.add();
    removeRecord(rig);
    Deno.mkdirSync(`${rig.directory}/${FILE}/directory`, { recursive: true });
    assertWarning(await pod.del(), /not a regular file/);
    await pod.assertAt(`host ${pod.device}`);
    assertEquals(records(rig), [FILE]);
    assert(Deno.statSync(`${rig.directory}/${FILE}/directory`).isDirectory);
  }),
  scenario("del: a newer attachment has the function: it is not touched", async (rig) => {
    const pod = await addedPod(rig);
    const old = readRecord(rig);
    await loseNetns(rig);
    await rig.addNetns("new");
    const newer = new Attachment(rig, pod.function_, { netns: "new", containerId: "container2" });
    assertWarning(await newer.add(), /Pod of net-container1-net1 is gone but still has device/);
    await newer.assertAt(`new ${pod.device}`);
    assertEquals(records(rig), ["net-container2-net1"]);
    writeRecord(rig, FILE, old); // as if the old pod's DEL were late
    assertMatch((await pod.del()).log, /belongs to net-container2-net1 by now/);
    await newer.assertAt(`new ${pod.device}`);
    assertEquals(records(rig), ["net-container2-net1"]);
    await newer.del();
    await assertNothingLeft(rig, pod);
  }),
  scenario("del: a late one without a record does not touch another attachment's device", async (rig) => {
    const pod = await addedPod(rig);
    await pod.del({ containerId: "earlier" });
    await pod.assertAt(`pod ${pod.device}`);
    assertEquals(records(rig), [FILE]);
  }),
  scenario("del: a record from before the last boot is removed: its numbers mean nothing", async (rig) => {
    const pod = await addedPod(rig);
    const stale = { ...readRecord(rig), bootID: "0b8bbb7e-0000-4000-8000-000000000000" };
    writeRecord(rig, "net-old-net1", { ...stale, containerID: "old" });
    await pod.del({ containerId: "old" });
    await pod.assertAt(`pod ${pod.device}`);
    assertEquals(records(rig), [FILE]);
    writeRecord(rig, FILE, stale);
    await pod.del();
    await pod.assertAt(`pod ${pod.device}`);
    assertEquals(records(rig), []);
  }, { sets: ["oldest"] }),
  scenario("del: fails only when a device cannot be restored, and keeps the record", async (rig) => {
    const pod = await addedPod(rig);
    await pod.fail("DEL", 120, /Cannot move/, { isPowerless: true });
    await pod.assertAt(`pod ${pod.device}`);
    assertEquals(records(rig), [FILE]);
    await pod.leave();
  }, { isExecutedOnly: true, sets: ["oldest"] }),
  scenario("del: GC restores the name that a pod that is gone had changed", async (rig) => {
    const pod = await namedPod(rig);
    await rig.endNetns("pod");
    assertQuiet(await gc(rig, { "cni.dev/valid-attachments": [] }));
    await assertNothingLeft(rig, pod);
  }, { sets: ["oldest"] }),

  ...[
    ["asked for the same name", { rdmaDeviceName: "roce0" }, "roce0"],
    ["asked for another name", { rdmaDeviceName: "roce1" }, "roce1"],
    ["asked for none", {}, undefined],
  ].map(([what, config, name]) =>
    scenario(
      `del: a late one does not rename a device of a newer pod that ${what}, whose DEL restores the first name`,
      async (rig) => {
        const pod = await namedPod(rig);
        await rig.endNetns("pod");
        await rig.addNetns("new");
        const newer = new Attachment(rig, pod.function_, {
          ...{ netns: "new", containerId: "container2", config: config as object },
        });
        await newer.add();
        await pod.del();
        await pod.assertAt(`new ${name ?? pod.device}`);
        assertEquals(records(rig), ["net-container2-net1"]);
        await newer.check();
        await newer.del();
        await assertNothingLeft(rig, pod);
      },
    )
  ),
  ...["pod", "host"].map((place) =>
    scenario(`del: a newer record of a device in the ${place} does not keep DEL from it`, async (rig) => {
      const pod = await namedPod(rig);
      const record = readRecord(rig);
      if (place === "host") await rig.endNetns("pod");
      const newer = { ...record, containerID: "container2", bootTimeUs: record.bootTimeUs + 1 };
      writeRecord(rig, "net-container2-net1", newer);
      await pod.del();
      await pod.assertAt(`host ${place === "pod" ? pod.device : "roce0"}`);
      assertEquals(records(rig), ["net-container2-net1"]);
      await pod.leave({ containerId: "container2" });
    })
  ),
];
