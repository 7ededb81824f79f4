// Runs on the simulated node. Arguments: directory of the prepared node, compiled plugin, milliseconds that its VERSION
// takes on the host.
import { attachment } from "../rig/vm/guest/attachment.ts";
import { type CniOutcome, installPlugin, sfs, shOk } from "../rig/vm/guest/harness.ts";
import { CGROUP_V2, mountCgroupV1 } from "../rig/vm/guest/pod_cgroup.ts";
import type { LimitedCalls } from "./cpu_limit.ts";
import { printMeasured, say } from "./say.ts";
import { measureSlowness } from "./slowness.ts";

const [, , HOST_MS = ""] = Deno.args;
const MILLICPU = [null, 200, 100];
/** The kernel's, on the host. */
const PERIOD_US = 100_000;

const pods = sfs().map(({ deviceId }, number) => {
  const name = `pod${number}`;
  return attachment(deviceId, { netns: name, containerId: name });
});

async function measureIn(cgroup: string, version: 1 | 2): Promise<LimitedCalls[]> {
  const wrapper = ["sh", "-c", `echo $$ >${cgroup}/cgroup.procs && exec "$0" "$@"`];
  const measured: LimitedCalls[] = [];
  for (const millicpu of MILLICPU) {
    await setLimit(cgroup, version, millicpu);
    for (const order of ["in a row", "at once"] as const) {
      say(`cgroup version ${version}, CPU limit ${millicpu}, ${pods.length} ADDs ${order}`);
      const begin = performance.now();
      const outcomes: CniOutcome[] = [];
      if (order === "at once") outcomes.push(...await Promise.all(pods.map(({ add }) => add({ wrapper }))));
      else for (const { add } of pods) outcomes.push(await add({ wrapper }));
      measured.push({
        version,
        millicpu,
        order,
        calls: pods.length,
        totalMs: (performance.now() - begin) / slowness,
        worstMs: Math.max(...outcomes.map(({ ms }) => ms)) / slowness,
        failed: outcomes.filter(({ code }) => code !== 0).length,
      });
      for (const { del } of pods) await del();
    }
  }
  return measured;
}

async function setLimit(cgroup: string, version: 1 | 2, millicpu: number | null): Promise<void> {
  const periodUs = Math.round(PERIOD_US * slowness);
  const quotaUs = millicpu === null ? null : Math.round(millicpu / 1000 * periodUs);
  await shOk(
    version === 2
      ? `echo ${quotaUs ?? "max"} ${periodUs} >${cgroup}/cpu.max`
      : `echo ${periodUs} >${cgroup}/cpu.cfs_period_us && echo ${quotaUs ?? -1} >${cgroup}/cpu.cfs_quota_us`,
  );
}

async function measureVersion2(): Promise<LimitedCalls[]> {
  const cgroup = `${CGROUP_V2}/multus`;
  await shOk(`echo +cpu >${CGROUP_V2}/cgroup.subtree_control && mkdir ${cgroup}`);
  const measured = await measureIn(cgroup, 2);
  await shOk(`rmdir ${cgroup} && echo -cpu >${CGROUP_V2}/cgroup.subtree_control`);
  return measured;
}

async function measureVersion1(): Promise<LimitedCalls[]> {
  await using hierarchy = await mountCgroupV1("cpu");
  const cgroup = `${hierarchy.mount}/multus`;
  await shOk(`mkdir ${cgroup}`);
  const measured = await measureIn(cgroup, 1);
  await shOk(`rmdir ${cgroup}`);
  return measured;
}

await installPlugin();
await shOk(`for number in $(seq 0 ${pods.length - 1}); do ip netns add pod$number; done`);
for (const { add, del } of pods.slice(0, 1)) {
  await add(); // warms the page cache
  await del();
}
const slowness = await measureSlowness(Number(HOST_MS));
printMeasured([...await measureVersion2(), ...await measureVersion1()]);
