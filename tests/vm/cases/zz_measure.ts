import { assertQuiet, assertResult, attachment } from "../../rig/vm/guest/attachment.ts";
import { growNode } from "../../rig/vm/guest/grow.ts";
import { addNetns, rebind, shOk, vf, vmCase } from "../../rig/vm/guest/harness.ts";

vmCase("zzmeasure: indexes", async () => {
  await addNetns("pod");
  rebind(vf(1).deviceId);
  const one = attachment(vf(1).deviceId);
  const median = (list: number[]) => list.sort((a, b) => a - b)[list.length >> 1]!;
  const result: Record<string, number[]> = {};
  for (const many of [64, 256]) {
    await growNode(many);
    const times: [number[], number[]] = [[], []];
    for (let i = 0; i < 24; i++) {
      const remembered = i % 2;
      if (!remembered) await shOk("rm -rf /run/rdma-cni");
      const start = performance.now();
      assertResult(await one.add());
      times[remembered]!.push(performance.now() - start);
      assertQuiet(await one.del());
    }
    result[many] = [median(times[0]), median(times[1])];
  }
  return result;
}, 600_000);
