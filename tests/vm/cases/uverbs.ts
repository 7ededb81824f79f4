// A node on which module ib_uverbs is not loaded, until somebody asks the kernel for a uverbs device.
import { assertEquals, assertMatch, assertNotMatch } from "../../support/assert.ts";
import {
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
} from "../../rig/vm/guest/attachment.ts";
import { addPod, letKernelLoadModules, names, shOk, vmCase } from "../../rig/vm/guest/harness.ts";

vmCase("uverbs: an ADD that has the kernel load ib_uverbs warns of no number that changed", async () => {
  using _helper = await letKernelLoadModules();
  try {
    await shOk(`modprobe --dirname "$MODULES" --remove rdma_ucm rdma_rxe ib_uverbs`);
    assertEquals(names("/sys/class/infiniband_verbs"), []);
    const { deviceId, rdmaDevice } = await addPod();
    const added = await attachment(deviceId).add();
    assertResult(added);
    assertNotMatch(added.stderr, /undefined|level="warning"/);
    assertMatch(
      added.stderr,
      /had no uverbs device when it was moved and has \/dev\/infiniband\/uverbs\d+ now/,
    );
    await assertInPod([rdmaDevice]);
    assertQuiet(await attachment(deviceId).del());
    assertNothingLeft();
  } finally {
    await shOk(`modprobe --dirname "$MODULES" --all ib_uverbs rdma_ucm`);
  }
});
