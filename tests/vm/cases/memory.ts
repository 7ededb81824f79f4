// What calls take of a memory cgroup's limit: thick Multus runs all plugins in its own.
import {
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
} from "../guest/attachment.ts";
import { addNetns, INSTALLED_PLUGIN, netdevToNetns, shOk, vf, vmCase } from "../guest/harness.ts";
import { COMPILED_PLUGIN } from "../guest/programs.ts";

const ROOT = "/sys/fs/cgroup";
/** The limit of thick Multus' own DaemonSet, which its daemon shares with the plugins. */
const MULTUS_MIB = 50;

/** A memory cgroup for a while. */
class MemoryCgroup implements AsyncDisposable {
  readonly #path = `${ROOT}/plugins`;

  static async create(limitMiB: number): Promise<MemoryCgroup> {
    const cgroup = new MemoryCgroup();
    await shOk(
      `echo +memory >${ROOT}/cgroup.subtree_control && mkdir ${cgroup.#path} &&
       echo ${limitMiB}M >${cgroup.#path}/memory.max`,
    );
    return cgroup;
  }

  /** Starts a program in it. */
  wrapper(program = INSTALLED_PLUGIN): string[] {
    return ["sh", "-c", `echo $$ >${this.#path}/cgroup.procs && exec ${program}`];
  }

  /** The most that was charged to it so far. */
  peakMiB(): number {
    return Math.round(Number(Deno.readTextFileSync(`${this.#path}/memory.peak`)) / 2 ** 20);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await shOk(`rmdir ${this.#path}`);
  }
}

vmCase("memory: ADD, CHECK and DEL work in 24 MiB, the executable being in the page cache", async () => {
  const { deviceId, netdev } = vf(0);
  await addNetns("pod");
  await netdevToNetns(netdev, "pod", "net1");
  await using cgroup = await MemoryCgroup.create(24);
  const pod = attachment(deviceId, { wrapper: cgroup.wrapper() });
  assertResult(await pod.add());
  assertQuiet(await pod.check());
  assertQuiet(await pod.del());
  assertNothingLeft();
  return { peakMiB: cgroup.peakMiB() };
});

vmCase("memory: two ADDs at once work in thick Multus' limit", async () => {
  await using cgroup = await MemoryCgroup.create(MULTUS_MIB);
  const pods = await Promise.all([0, 1].map(async (number) => {
    const { deviceId, rdmaDevice } = vf(number);
    const netns = `pod${number}`;
    await addNetns(netns);
    const call = attachment(deviceId, { netns, containerId: netns, wrapper: cgroup.wrapper() });
    return { netns, rdmaDevice, call };
  }));
  for (const added of await Promise.all(pods.map(({ call }) => call.add()))) assertResult(added);
  for (const { netns, rdmaDevice } of pods) await assertInPod([rdmaDevice], netns);
  return { peakMiB: cgroup.peakMiB() };
});

vmCase("memory: an ADD works in thick Multus' limit, the executable being on disk alone", async () => {
  const { deviceId, rdmaDevice } = vf(0);
  await addNetns("pod");
  // The installed one is on a tmpfs here, whose pages cannot go; this one is on the host's disk.
  await shOk(`dd if=${COMPILED_PLUGIN} iflag=nocache count=0`);
  await using cgroup = await MemoryCgroup.create(MULTUS_MIB);
  const added = await attachment(deviceId, { wrapper: cgroup.wrapper(COMPILED_PLUGIN) }).add();
  assertResult(added);
  await assertInPod([rdmaDevice]);
  return { peakMiB: cgroup.peakMiB(), ms: added.ms };
});
