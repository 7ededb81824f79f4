// Calls at the same time, and calls that are killed.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  again,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  readRecord,
  records,
  startInMove,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  addPod,
  casesWith,
  hostRdmaDevices,
  isInMove,
  setSimParameter,
  sf,
  shOk,
  startPlugin,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";
import { killAtNth, stopAfterNth } from "../../rig/vm/guest/injection.ts";
import { holdLock, lineUp } from "../../rig/vm/guest/lock.ts";

const vmCase = casesWith({ sets: ["concurrency"] });

const FILE = "net-container1-net1";

vmCase("concurrency: five ADDs at once, then five DELs", async () => {
  const pods = await Promise.all([0, 1, 2, 3, 4].map(async (number) => {
    await addNetns(`pod${number}`);
    return { netns: `pod${number}`, ...vf(number) };
  }));
  const uverbs = await shOk("grep -H . /sys/class/infiniband_verbs/uverbs*/ibdev");
  const calls = pods.map(({ deviceId, netns }) => attachment(deviceId, { netns, containerId: netns }));
  for (const added of await Promise.all(calls.map((call) => call.add()))) assertResult(added);
  for (const { netns, rdmaDevice } of pods) await assertInPod([rdmaDevice], netns);
  assertEquals(
    await shOk("grep -H . /sys/class/infiniband_verbs/uverbs*/ibdev"),
    uverbs,
    "uverbs numbers kept",
  );
  assertEquals(records().length, 5);
  for (const deleted of await Promise.all(calls.map((call) => call.del()))) assertQuiet(deleted);
  assertNothingLeft();
});

vmCase("concurrency: two ADDs of one function at once, one gets it", async () => {
  await addNetns("pod");
  await addNetns("second");
  const { deviceId, rdmaDevice } = vf(0);
  const calls = ["pod", "second"].map((netns) => attachment(deviceId, { netns, containerId: netns }));
  const added = await Promise.all(calls.map((call) => call.add()));
  const winner = added.findIndex(({ code }) => code === 0);
  assertError(added[1 - winner]!, 111, /in another network namespace/);
  await assertInPod([rdmaDevice], ["pod", "second"][winner]!);
  assertEquals(records().length, 1);
});

vmCase("concurrency: a changed uverbs number is reported", async () => {
  await addNetns("pod");
  // With a lower number free, the kernel gives that one when the device comes up again.
  await shOk(`echo ${vf(0).deviceId} >/sys/bus/pci/drivers/igbvf/unbind`);
  const { deviceId } = vf(1);
  const added = await attachment(deviceId).add();
  assertResult(added);
  assertMatch(
    added.stderr,
    /level="warning".*had \/dev\/infiniband\/uverbs\d+ and has \/dev\/infiniband\/uverbs\d+/,
  );
});

vmCase("concurrency: a device that another program takes out of the pod while ADD is at work", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = sf(0); // which is never bound anew, so that no request is spent on its index
  // The fourth request moves the device.
  const adding = await stopAfterNth("sendto", 4, (wrapper) => attachment(deviceId).add({ wrapper }));
  await hostRdmaDevices(rdmaDevice, "pod");
  adding.goOn();
  assertError(await adding.call, 113, /Cannot find RDMA device .* in network namespace/);
  assertNothingLeft();
  assertEquals(again({ deviceId }).rdmaDevices, [rdmaDevice]);
}, { needs: "auxiliaryBus" });

vmCase("concurrency: a call that cannot get the lock says so", async () => {
  await addNetns("pod");
  await holdLock();
  const { deviceId } = vf(0);
  const call = attachment(deviceId, { config: config({ deviceID: deviceId, lockTimeoutMs: 1000 }) });
  assertError(await call.add(), 11, /Cannot lock .* within 1 s: another process has it/);
  assertNothingLeft();
});

vmCase("concurrency: a call that cannot get the lock names the call that has it", async () => {
  await addNetns("pod");
  setSimParameter("move_delay_ms", 5000);
  const adding = await startPlugin({
    command: "ADD",
    netns: "pod",
    config: config({ deviceID: vf(0).deviceId }),
  });
  await until("the device is being moved", () => isInMove(adding.pid));
  const impatient = { deviceID: vf(1).deviceId, lockTimeoutMs: 100 };
  const call = attachment("", { containerId: "container2", config: config(impatient) });
  assertError(
    await call.add(),
    11,
    new RegExp(
      `process ${adding.pid} has had it for \\d+\\.\\d s, for ADD ` +
        "\\(container container1, interface net1, network net\\)",
    ),
  );
  assertEquals((await adding.status).code, 0);
  assertEquals(records(), [FILE]);
});

vmCase("concurrency: calls get the lock in the order they came in, and cost nothing meanwhile", async () => {
  const pods = await Promise.all([0, 1, 2, 3, 4, 5, 6].map(async (number) => {
    await addNetns(`pod${number}`);
    return { ...vf(number), name: `pod${number}` };
  }));
  const other = await holdLock();
  const adding = await lineUp(
    pods.map(({ deviceId, name }) => () => attachment(deviceId, { netns: name, containerId: name }).add()),
  );
  const before = await pluginTicks();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const worked = await pluginTicks() - before;
  assert(worked <= 1, `${worked} clock ticks in 3 s`);
  other.kill("SIGKILL");
  for (const added of await Promise.all(adding)) assertResult(added);
  const times = pods.map(({ name }) => Number(readRecord(`net-${name}-net1`)["bootTimeUs"]));
  assertEquals(times, times.toSorted((a, b) => a - b));
});

/** The processor time of all running calls of the plugin, in hundredths of a second (proc_pid_stat(5), utime and stime). */
async function pluginTicks(): Promise<number> {
  return Number(
    await shOk(
      "cat $(pgrep -f ^/opt/cni/bin/rdma | sed 's|.*|/proc/&/stat|') | awk '{ sum += $14 + $15 } END { print sum }'",
    ),
  );
}

vmCase("concurrency: ADD is killed while the kernel moves the device: DEL cleans up", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const call = await startInMove("ADD", deviceId);
  call.kill("SIGKILL");
  await call.status;
  await assertCleanedUp(deviceId, rdmaDevice);
});

vmCase("concurrency: ADD is killed as it prints its result: DEL cleans up", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const killed = killAtNth("write", 1, "-P", "/run/result").join(" ");
  const added = await attachment(deviceId, {
    wrapper: ["sh", "-c", `exec ${killed} "$0" >/run/result`],
  }).add();
  assertEquals(added.code, 137);
  await assertInPod([rdmaDevice]);
  await assertCleanedUp(deviceId, rdmaDevice);
});

/** Asserts that a killed ADD left a record, and that DEL leaves nothing. */
async function assertCleanedUp(deviceId: string, rdmaDevice: string): Promise<void> {
  assert(records().includes(FILE));
  assertQuiet(await attachment(deviceId).del());
  await assertInPod([]);
  assertNothingLeft();
  assertEquals(again({ deviceId }).rdmaDevices, [rdmaDevice]);
}

vmCase("concurrency: an ADD that was killed is made good by the next ADD", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const call = await startInMove("ADD", deviceId);
  call.kill("SIGKILL");
  await call.status;
  assertResult(await attachment(deviceId).add());
  await assertInPod([rdmaDevice]);
  assertEquals(records(), [FILE]);
});
