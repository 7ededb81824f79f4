// Calls at the same time, and calls that are killed.
import assert from "node:assert/strict";
import {
  again,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  records,
  STATE_DIRECTORY,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  hostRdmaDevices,
  rdmaNames,
  setSimParameter,
  sf,
  shOk,
  startBackground,
  startPlugin,
  until,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

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
  assert.equal(
    await shOk("grep -H . /sys/class/infiniband_verbs/uverbs*/ibdev"),
    uverbs,
    "uverbs numbers kept",
  );
  assert.equal(records().length, 5);
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
  assert.equal(records().length, 1);
});

vmCase("concurrency: a changed uverbs number is reported", async () => {
  await addNetns("pod");
  // With a lower number free, the kernel gives that one when the device comes up again.
  await shOk(`echo ${vf(0).deviceId} >/sys/bus/pci/drivers/igbvf/unbind`);
  const { deviceId } = vf(1);
  const added = await attachment(deviceId).add();
  assertResult(added);
  assert.match(
    added.stderr,
    /level="warning".*had \/dev\/infiniband\/uverbs\d+ and has \/dev\/infiniband\/uverbs\d+/,
  );
});

vmCase("concurrency: a device that another program takes out of the pod while ADD is at work", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = sf(0); // which is never bound anew, so that no request is spent on its index
  // The fifth request is the first that asks the pod for the device.
  const delay = "strace -f --seccomp-bpf -o /dev/null -e trace=sendto -e inject=sendto:delay_enter=3s:when=5";
  const adding = attachment(deviceId, { wrapper: delay.split(" ") }).add();
  await until("the device is in the pod", async () => (await rdmaNames("pod")).includes(rdmaDevice));
  await hostRdmaDevices(rdmaDevice, "pod");
  assertError(await adding, 113, /Cannot find RDMA device .* in network namespace/);
  assertNothingLeft();
  assert.deepEqual(again({ deviceId }).rdmaDevices, [rdmaDevice]);
});

vmCase("concurrency: a call that cannot get the lock says so", async () => {
  await addNetns("pod");
  await shOk(`mkdir -p ${STATE_DIRECTORY}`);
  await startBackground(
    `exec flock --no-fork ${STATE_DIRECTORY} sh -c "echo locked; exec sleep infinity"`,
    "locked",
  );
  assertError(await attachment(vf(0).deviceId).add(), 11, /Cannot lock .*held it for 30 s/);
  assertNothingLeft();
});

vmCase("concurrency: ADD is killed while the kernel moves the device: DEL cleans up", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = vf(0);
  setSimParameter("move_delay_ms", 1000);
  const call = await startPlugin({ command: "ADD", netns: "pod", config: config({ deviceID: deviceId }) });
  await until("the record is written", () => records().includes(FILE));
  call.kill("SIGKILL");
  await call.status;
  setSimParameter("move_delay_ms", 0);
  await assertCleanedUp(deviceId, rdmaDevice);
});

vmCase("concurrency: ADD is killed as it prints its result: DEL cleans up", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = vf(0);
  const killed = "strace -f -o /dev/null -P /run/result -e inject=write:signal=KILL";
  const added = await attachment(deviceId, {
    wrapper: ["sh", "-c", `exec ${killed} "$0" >/run/result`],
  }).add();
  assert.equal(added.code, 137);
  await assertInPod([rdmaDevice]);
  await assertCleanedUp(deviceId, rdmaDevice);
});

/** Asserts that a killed ADD left a record, and that DEL leaves nothing. */
async function assertCleanedUp(deviceId: string, rdmaDevice: string): Promise<void> {
  assert.deepEqual(records(), [FILE]);
  assertQuiet(await attachment(deviceId).del());
  await assertInPod([]);
  assertNothingLeft();
  assert.deepEqual(again({ deviceId }).rdmaDevices, [rdmaDevice]);
}

vmCase("concurrency: an ADD that was killed is made good by the next ADD", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = vf(0);
  setSimParameter("move_delay_ms", 500);
  const call = await startPlugin({ command: "ADD", netns: "pod", config: config({ deviceID: deviceId }) });
  await until("the record is written", () => records().includes(FILE));
  call.kill("SIGKILL");
  await call.status;
  setSimParameter("move_delay_ms", 0);
  assertResult(await attachment(deviceId).add());
  await assertInPod([rdmaDevice]);
  assert.deepEqual(records(), [FILE]);
});
