// What calls cost: of a memory cgroup's limit, as thick Multus runs all plugins in its own, and of the kernel's work on a
// node with few and with many devices, as strace counts it: no time is measured.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { growNode } from "../../rig/vm/guest/grow.ts";
import {
  addNetns,
  addPod,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  netdevToNetns,
  netnsPath,
  type PluginCall,
  prevResult,
  rdmaDevices,
  rebind,
  sf,
  shOk,
  vf,
  vmCase,
  withLauncher,
} from "../../rig/vm/guest/harness.ts";
import { MemoryCgroup } from "../../rig/vm/guest/memory_cgroup.ts";
import { LONG } from "../../rig/vm/guest/options.ts";
import { COMPILED_PLUGIN } from "../../rig/vm/guest/programs.ts";
import { outcome } from "../../rig/vm/guest/sh.ts";

/** The limit of thick Multus' own DaemonSet, which its daemon shares with the plugins. */
const MULTUS_MIB = 50;

vmCase("memory: ADD, CHECK and DEL work in 24 MiB, the executable being in the page cache", async () => {
  const { deviceId, netdev } = await addPod();
  await netdevToNetns(netdev, "pod", "net1");
  await using cgroup = await MemoryCgroup.create(24);
  const pod = attachment(deviceId, { wrapper: cgroup.wrapper() });
  assertResult(await pod.add());
  assertQuiet(await pod.check());
  assertQuiet(await pod.del());
  assertNothingLeft();
  return { peakMiB: peakMiB(cgroup) };
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
  return { peakMiB: peakMiB(cgroup) };
});

vmCase("memory: an ADD works in thick Multus' limit, the executable being on disk alone", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  // The installed one is on a tmpfs here, whose pages cannot go; this one is on the host's disk.
  await shOk(`dd if=${COMPILED_PLUGIN} iflag=nocache count=0`);
  await using cgroup = await MemoryCgroup.create(MULTUS_MIB);
  // Its one argument, the installed plugin's path, means nothing to a CNI plugin.
  const added = await attachment(deviceId, { wrapper: [...cgroup.wrapper(), COMPILED_PLUGIN] }).add();
  assertResult(added);
  await assertInPod([rdmaDevice]);
  return { peakMiB: peakMiB(cgroup), ms: added.ms };
});

/** The limits of the Go plugin's own DaemonSet, whose pod installs. */
const INSTALLER_MIB = 50;
const INSTALLER_MILLI_CPU = 100;

vmCase("memory: install ends in the limit of the Go plugin's DaemonSet, with nothing cached", async () => {
  return await installInLimits();
}, { limitMs: 300_000 });

// A tenth of a processor that is emulated takes two minutes.
if (LONG) {
  vmCase("memory: install ends in the memory and processor limits of the Go plugin's DaemonSet", async () => {
    return await installInLimits(INSTALLER_MILLI_CPU);
  }, { limitMs: 600_000 });
}

async function installInLimits(milliCpu?: number) {
  // A disk outside of any cgroup: the pages of a tmpfs can neither be dropped nor go to a disk.
  await shOk(
    `modprobe --dirname "$MODULES" ext4 && modprobe --dirname "$MODULES" brd rd_nr=1 rd_size=262144 && mkfs.ext4 -q /dev/ram0 && mkdir /run/bin &&
     mount /dev/ram0 /run/bin`,
  );
  try {
    await shOk(`dd if=${COMPILED_PLUGIN} iflag=nocache count=0`);
    await using cgroup = await MemoryCgroup.create(INSTALLER_MIB, milliCpu);
    const [shell, ...words] = cgroup.wrapper();
    const args = [...words, COMPILED_PLUGIN, "entrypoint", "--no-sleep", "--cni-bin-dir=/run/bin"];
    const start = performance.now();
    const { code, stderr } = await outcome(new Deno.Command(shell!, { args, stdin: "null" }));
    const seconds = Math.round((performance.now() - start) / 1000);
    assertEquals(code, 0, stderr);
    assertMatch(stderr, /rdma: installed\n$/);
    const cpuSeconds = cgroup.cpuSeconds();
    const neededSeconds = cpuSeconds * 1000 / (milliCpu ?? 1000);
    assert(seconds < neededSeconds + 10, `${seconds} s, ${cpuSeconds} s of CPU time`);
    return { peakMiB: peakMiB(cgroup), seconds, cpuSeconds };
  } finally {
    await shOk("umount /run/bin && rmdir /run/bin && rmmod brd");
  }
}

vmCase("memory: a call by the launcher is charged what one without is", async () => {
  const { deviceId } = await addPod();
  const measure = async () => {
    await using cgroup = await MemoryCgroup.create();
    const pod = attachment(deviceId, { wrapper: cgroup.wrapper() });
    assertResult(await pod.add());
    const kb = cgroup.peakKb();
    assertQuiet(await pod.del());
    return kb;
  };
  // What a call finds in the page cache is not charged to it again.
  const least = async (run: () => Promise<number>) => {
    const samples: number[] = [];
    for (let count = 0; count < 3; count++) samples.push(await run());
    return Math.min(...samples);
  };
  const without = await least(measure);
  const by = await least(() => withLauncher(measure));
  assert(Math.abs(by - without) < 512, `${by} KB by the launcher, ${without} KB without`);
  return { kbByLauncher: by, kbWithout: without };
});

function peakMiB(cgroup: MemoryCgroup): number {
  return Math.round(cgroup.peakKb() / 1024);
}

const MANY = 256;
const TRACE = "/run/trace";
/** The garbage collector and the numbers in what is read make this much difference between two runs. */
const NOISE = { calls: 30, bytes: 200 };

interface Work {
  /** System calls. */
  calls: number;
  /** Read from files, directories and sockets. */
  bytes: number;
}

/** Counts the work of one ADD, which must succeed, and undoes it. */
async function countAdd(call: Partial<PluginCall>): Promise<Work> {
  const one = attachment("", call);
  assertResult(await one.add({ wrapper: ["strace", "-f", "-o", TRACE] }));
  assertQuiet(await one.del());
  const calls = Deno.readTextFileSync(TRACE).split("\n").filter((line) => /^\d+ +\w+\(/.test(line));
  const read = calls.map((line) => / +(read|pread64|recvfrom|getdents64)\(.* = (\d+)$/.exec(line)?.[2] ?? 0);
  return { calls: calls.length, bytes: read.reduce<number>((sum, bytes) => sum + Number(bytes), 0) };
}

/** Whether an RDMA device has as its index the number of its uverbs device. */
async function hasIndexOfUverbs(rdmaDevice: string): Promise<boolean> {
  const index = (await rdmaDevices()).find(({ name }) => name === rdmaDevice)?.index;
  const file = await shOk(`grep -lx ${rdmaDevice} /sys/class/infiniband_verbs/uverbs*/ibdev`);
  return file.includes(`/uverbs${index}/`);
}

vmCase("scale: ADD asks no more of a kernel with more devices, however it finds the function", async () => {
  await addNetns("pod");
  await addNetns("other");
  rebind(vf(0).deviceId);
  const [{ deviceId, rdmaDevice, mac }, ofBoot, ofParent] = [vf(0), sf(0), sf(1)];
  for (const one of [ofBoot, ofParent]) assert(await hasIndexOfUverbs(one.rdmaDevice), "as after boot");
  assert(!await hasIndexOfUverbs(rdmaDevice), "a new bind gives a new index");
  await netdevToNetns(ofParent.netdev, "other", "net1");
  const resultOf = (netns: string, more: object = {}) =>
    prevResult({ interfaces: [{ name: "net1", sandbox: netnsPath(netns), ...more }] });
  const calls: Partial<PluginCall>[] = [
    { config: config({ deviceID: deviceId }) },
    { config: config({ deviceID: ofBoot.deviceId }) },
    { config: config({ prevResult: resultOf("pod", { mac }) }) },
    { netns: "other", config: config({ prevResult: resultOf("other") }) },
  ];
  const countEach = async () => {
    const counts: Work[] = [];
    for (const call of calls) counts.push(await countAdd(call));
    return counts;
  };
  const first = await countAdd(calls[0]!); // the index, which is not the uverbs number, costs one dump
  const few = await countEach();
  assert(few[0]!.bytes < first.bytes, `${first.bytes} bytes were read first, then ${few[0]!.bytes}`);
  await growNode(MANY);
  const many = await countEach();
  assertNothingLeft();
  const more = many.map((now, i) => ({
    calls: now.calls - few[i]!.calls,
    bytes: now.bytes - few[i]!.bytes,
  }));
  const isNoise = more.every(({ calls, bytes }) => calls <= NOISE.calls && bytes <= NOISE.bytes);
  assert(isNoise, JSON.stringify(more));
  return { first, few, more };
}, { needs: "auxiliaryBus" });
