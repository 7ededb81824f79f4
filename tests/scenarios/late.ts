// What calls conclude of a device that they do not find: it may be on its way, out of reach, or another pod's by now.
import { assertEquals, assertMatch } from "../support/assert.ts";
import type { Async, Rig } from "../rig/rig.ts";
import {
  addedPod,
  assertNothingLeft,
  assertQuiet,
  assertWarning,
  Attachment,
  FILE,
  gc,
  goRecord,
  namedPod,
  readRecord,
  records,
  removeRecord,
  type Scenario,
  scenario,
  writeRecord,
} from "./scenario.ts";

const SECOND = "net-container2-net1";

/** Another pod, which asks for the function of the first. */
async function secondPod(rig: Rig, { function_ }: Attachment, config: object = {}): Promise<Attachment> {
  await rig.addNetns("second");
  return new Attachment(rig, function_, { netns: "second", containerId: "container2", config });
}

/** As if the clock had been set back after the record was written. */
function makeLater(rig: Rig, file: string): void {
  const time = new Date(Date.now() + 3_600_000);
  if (file === FILE) writeRecord(rig, file, { ...readRecord(rig), createdAt: time.toISOString() });
  Deno.utimeSync(`${rig.directory}/${file}`, time, time);
}

interface OutOfReach {
  how: string;
  begin: (rig: Rig) => Async<void>;
  end: (rig: Rig) => Async<void>;
}

const OUT_OF_REACH: OutOfReach[] = [
  {
    how: "whose namespace does not end",
    begin: (rig) => rig.beginEnd("pod", "never"),
    end: (rig) => rig.finishEnd(),
  },
  {
    how: "that somebody took to another namespace",
    begin: async (rig) => {
      await rig.addNetns("other");
      await rig.moveDevice("roce0", "pod", "other");
    },
    end: (rig) => rig.moveDevice("roce0", "other", "host"),
  },
];

export const LATE: Scenario[] = [
  ...[true, false].map((hasRecord) =>
    scenario(
      `late: an optional ADD waits for a device that the pod before, ${
        hasRecord ? "with" : "without"
      } a record, is about to lose`,
      async (rig) => {
        const pod = await addedPod(rig);
        const second = await secondPod(rig, pod, { optional: true });
        if (!hasRecord) removeRecord(rig);
        await rig.beginEnd("pod", "soon");
        await second.add();
        await rig.finishEnd();
        await second.assertAt(`second ${pod.device}`);
        assertEquals(records(rig), [SECOND]);
        await second.del();
        await assertNothingLeft(rig, pod);
      },
    )
  ),
  scenario("late: an optional ADD that waits in vain fails, and may be tried again", async (rig) => {
    const pod = await addedPod(rig);
    const second = await secondPod(rig, pod, { optional: true });
    await rig.beginEnd("pod", "never");
    await second.fail("ADD", 111, /Cannot/);
    assertEquals(records(rig), [FILE]);
    await rig.finishEnd();
    await second.add();
    await second.assertAt(`second ${pod.device}`);
  }),
  scenario("late: DEL waits for the device and gives it its name back", async (rig) => {
    const pod = await namedPod(rig);
    await rig.beginEnd("pod", "soon");
    await pod.del();
    assertEquals(records(rig), []);
    await rig.finishEnd();
    await assertNothingLeft(rig, pod);
  }),
  ...OUT_OF_REACH.flatMap(({ how, begin, end }) =>
    ["DEL", "GC"].map((later) =>
      scenario(`late: DEL keeps the record of a device ${how}, until ${later} finds it`, async (rig) => {
        const pod = await namedPod(rig);
        const repeat = async () =>
          later === "DEL" ? await pod.del() : assertQuiet(await gc(rig, { "cni.dev/valid-attachments": [] }));
        await begin(rig);
        for (const outcome of [await pod.del(), await repeat()]) {
          assertWarning(outcome, /roce0.* not in the host namespace.*record .* stays/);
          assertEquals(records(rig), [FILE]);
        }
        await end(rig);
        await pod.assertAt("host roce0");
        await repeat();
        await assertNothingLeft(rig, pod);
      })
    )
  ),

  ...["first", "second"].map((deleted) =>
    scenario(
      `late: the clock was set back, and DEL of the ${deleted} of two pods comes first`,
      async (rig) => {
        // Under a name as the driver makes them ADD does not look whether a pod that is gone left it.
        const pod = await addedPod(rig, { config: { rdmaDeviceName: "mlx5_70" } });
        makeLater(rig, FILE);
        await rig.endNetns("pod");
        const second = await secondPod(rig, pod, { rdmaDeviceName: "roce1" });
        await second.add();
        if (deleted === "first") {
          assertMatch((await pod.del()).log, /belongs to net-container2-net1 by now/);
          await second.assertAt("second roce1");
          assertEquals(records(rig), [SECOND]);
          await second.del();
        } else {
          await second.del();
          await pod.assertAt("host mlx5_70");
          await pod.del();
        }
        await assertNothingLeft(rig, pod);
      },
    )
  ),
  scenario(
    "late: a stale Go record, newer by the clock, does not take a living pod's device",
    async (rig) => {
      const pod = await addedPod(rig);
      await rig.holdNetns("pod"); // as every pod's processes do
      for (const netns of ["", "pod"]) { // the path may have been given to another pod
        writeRecord(rig, "net-stale-net1", goRecord(pod.function_, pod.device));
        makeLater(rig, "net-stale-net1");
        await pod.del({ containerId: "stale", netns });
        await pod.assertAt(`pod ${pod.device}`);
        assertEquals(records(rig), [FILE]);
      }
      await pod.leave();
    },
  ),
];
