// How much memory a call needs.
import assert from "node:assert/strict";
import { assertNothingLeft, assertQuiet, assertResult, attachment } from "../guest/attachment.ts";
import { addNetns, shOk, vf, vmCase } from "../guest/harness.ts";

const CGROUP = "/sys/fs/cgroup/small";
const LIMIT_MIB = 24;

vmCase(`memory: an ADD and a DEL run in a cgroup of ${LIMIT_MIB} MiB`, async () => {
  await addNetns("pod");
  await shOk(`echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir ${CGROUP}`);
  try {
    await shOk(`echo ${LIMIT_MIB}M >${CGROUP}/memory.max`);
    const one = attachment(vf(0).deviceId, {
      wrapper: ["sh", "-c", `echo $$ >${CGROUP}/cgroup.procs && exec "$0"`],
    });
    assertResult(await one.add());
    assertQuiet(await one.del());
    const peakMiB = Number(await shOk(`cat ${CGROUP}/memory.peak`)) / 1024 ** 2;
    // Proves that the calls were charged to it.
    assert.ok(peakMiB > 1, `${peakMiB} MiB at most`);
    assertNothingLeft();
    return { peakMiB };
  } finally {
    await shOk(`rmdir ${CGROUP}`);
  }
});
