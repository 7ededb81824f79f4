// Which of two records counts does not depend on the clock, which somebody sets back in between.
import assert from "node:assert/strict";
import {
  again,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  records,
  writeRecord,
} from "../../rig/vm/guest/attachment.ts";
import { addNetns, deleteNetns, holdNetns, shOk, vf, vmCase } from "../../rig/vm/guest/harness.ts";

const HOUR_S = 3600;

async function setClock(bySeconds: number): Promise<void> {
  await shOk(`date -s @$(($(date +%s) + ${bySeconds}))`);
}

/** Does something an hour ago, by the clock. */
async function withClockBack(work: () => Promise<void>): Promise<void> {
  await setClock(-HOUR_S);
  try {
    await work();
  } finally {
    await setClock(HOUR_S);
  }
}

vmCase("clock: a stale record of the Go plugin does not take the device of a pod that lives", async () => {
  const { deviceId, rdmaDevice } = vf(0);
  const names = { sandboxRdmaDevName: rdmaDevice, containerRdmaDevName: rdmaDevice };
  writeRecord("net-stale-net1", { version: "1.0", deviceID: deviceId, ...names });
  await withClockBack(async () => {
    await addNetns("pod");
    assertResult(await attachment(deviceId).add());
    await holdNetns("pod"); // as every pod's processes do
    assertQuiet(await attachment(deviceId, { containerId: "stale", netns: "" }).del());
    await assertInPod([rdmaDevice]);
    assert.deepEqual(records(), ["net-container1-net1"]);
    assertQuiet(await attachment(deviceId).del());
    assertNothingLeft();
  });
});

vmCase("clock: a late DEL hands the device's first name over to a newer pod", async () => {
  const function_ = vf(0);
  const { deviceId, rdmaDevice } = function_;
  const named = (containerId: string, name: string) =>
    attachment(deviceId, {
      containerId,
      netns: containerId,
      config: config({ deviceID: deviceId, rdmaDeviceName: name }),
    });
  const [first, second] = [named("first", "roce0"), named("second", "roce1")];
  await addNetns("first");
  assertResult(await first.add());
  await deleteNetns("first");
  await withClockBack(async () => {
    await addNetns("second");
    assertResult(await second.add());
    assertQuiet(await first.del());
    await assertInPod(["roce1"], "second");
    assertQuiet(await second.del());
    assertNothingLeft();
    assert.deepEqual(again(function_).rdmaDevices, [rdmaDevice]);
  });
});
