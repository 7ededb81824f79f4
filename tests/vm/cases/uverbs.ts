// A node on which module ib_uverbs is not loaded, until somebody asks the kernel for a uverbs device.
import assert from "node:assert/strict";
import {
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
} from "../../rig/vm/guest/attachment.ts";
import { addNetns, names, shOk, vf, vmCase } from "../../rig/vm/guest/harness.ts";

const MODPROBE = "/run/modprobe";
const HELPER = "/proc/sys/kernel/modprobe";

/** The kernel itself looks for modules where the node has none. */
async function letKernelLoadModules(): Promise<string> {
  const before = Deno.readTextFileSync(HELPER);
  await shOk(`printf '#!/bin/sh\\nexec modprobe --dirname "%s" "$@"\\n' "$MODULES" >${MODPROBE}`);
  await shOk(`chmod 755 ${MODPROBE} && echo ${MODPROBE} >${HELPER}`);
  return before;
}

vmCase(
  "uverbs: an ADD that has the kernel load ib_uverbs does not warn of a number that changed",
  async () => {
    const before = await letKernelLoadModules();
    try {
      await shOk(`modprobe --dirname "$MODULES" --remove rdma_ucm ib_uverbs`);
      assert.deepEqual(names("/sys/class/infiniband_verbs"), []);
      await addNetns("pod");
      const { deviceId, rdmaDevice } = vf(0);
      const added = await attachment(deviceId).add();
      assertResult(added);
      assert.doesNotMatch(added.stderr, /undefined|level="warning"/);
      assert.match(
        added.stderr,
        /had no uverbs device when it was moved and has \/dev\/infiniband\/uverbs\d+ now/,
      );
      await assertInPod([rdmaDevice]);
      assertQuiet(await attachment(deviceId).del());
      assertNothingLeft();
    } finally {
      await shOk(`modprobe --dirname "$MODULES" --all ib_uverbs rdma_ucm`);
      Deno.writeTextFileSync(HELPER, before);
    }
  },
);
