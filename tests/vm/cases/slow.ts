// What the plugin concludes while the kernel is about to move or remove a device, which a client of ib_core makes slow.
import { assert, assertEquals, assertMatch, assertNotMatch } from "../../support/assert.ts";
import {
  again,
  assertInPod,
  assertQuiet,
  assertResult,
  attachment,
  config,
  records,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  addPod,
  bind,
  hostRdmaDevices,
  names,
  netnsCount,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  rebind,
  setSimParameter,
  setSlowness,
  shOk,
  startBackground,
  unbind,
  until,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { stopAfterNth } from "../../rig/vm/guest/injection.ts";

const FILE = "net-first-net1";

const directoryOf = (deviceId: string) => `/sys/bus/pci/devices/${deviceId}`;

/** What the host's sysfs shows of a function's RDMA devices. */
function shown(deviceId: string) {
  const directory = directoryOf(deviceId);
  return {
    devices: names(`${directory}/infiniband`).length,
    uverbs: names(`${directory}/infiniband_verbs`).length,
    // A directory has a link from itself, one from above, and one from each directory in it.
    counted: Deno.statSync(`${directory}/infiniband`).nlink! - 2,
  };
}

/** The first of two pods, with the device of VF 0. */
async function firstPod() {
  await addNetns("first");
  await addNetns("second");
  const function_ = vf(0);
  const { deviceId } = function_;
  const first = attachment(deviceId, {
    netns: "first",
    containerId: "first",
    config: config({ deviceID: deviceId }),
  });
  assertResult(await first.add());
  const second = attachment(deviceId, {
    netns: "second",
    containerId: "second",
    config: config({ deviceID: deviceId, optional: true }),
  });
  return { ...function_, first, second };
}

/** The first pod's namespace ends, and the kernel is about to give its device back. */
async function endFirst(deviceId: string, slowness: Parameters<typeof setSlowness>[0]): Promise<void> {
  setSlowness(slowness);
  await shOk("ip netns del first");
  await until("the device is in neither class", () => {
    const { devices, uverbs } = shown(deviceId);
    return devices + uverbs === 0;
  });
}

async function untilOnHost(left = 1): Promise<void> {
  await until("the namespace is gone", () => netnsCount() === left);
  setSlowness({});
}

vmCase("rig: a device on its way is in neither class of sysfs for a while, but is counted", async () => {
  const { deviceId, rdmaDevice } = vf(0);
  const { index } = (await rdmaDevices()).find(({ name }) => name === rdmaDevice)!;
  assertEquals(shown(deviceId), { devices: 1, uverbs: 1, counted: 1 });
  await addNetns("first");
  await rdmaToNetns(rdmaDevice, "first");
  assertEquals(shown(deviceId), { devices: 0, uverbs: 1, counted: 1 });
  await endFirst(deviceId, { removeMs: 1000, addMs: 1000 });
  assertEquals(shown(deviceId), { devices: 0, uverbs: 0, counted: 1 });
  assert(!(await rdmaNames()).includes(rdmaDevice));
  await until("the device is in its class", () => shown(deviceId).devices === 1);
  assertEquals(shown(deviceId), { devices: 1, uverbs: 0, counted: 1 });
  await until("netlink has it", async () => (await rdmaDevices()).some((device) => device.index === index));
  assertEquals(shown(deviceId).uverbs, 0);
  await untilOnHost();
});

vmCase("slow: ADD takes all devices of a function of which one is on its way", async () => {
  setSimParameter("devices_per_function", 2);
  rebind(vf(0).deviceId);
  const pod = await firstPod();
  const both = (await rdmaNames("first")).sort();
  setSlowness({ removeMs: 1500 });
  await shOk("ip netns del first");
  await until("one device is on the host, the other not", () => {
    const { devices, uverbs } = shown(pod.deviceId);
    return devices === 1 && uverbs === 1;
  });
  assertResult(await pod.second.add());
  await assertInPod(both, "second");
  await untilOnHost(2);
  assertQuiet(await pod.second.del());
  assertEquals(again(pod).rdmaDevices.sort(), both);
});

vmCase("slow: ADD takes a device that its driver is making", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  unbind(deviceId);
  setSlowness({ addMs: 1500 });
  await startBackground(`cd /sys/bus/pci; echo begin; echo ${deviceId} >drivers_probe`, "begin");
  await until("the device is in its class", () => names(`${directoryOf(deviceId)}/infiniband`).length === 1);
  const added = await attachment(deviceId, { config: config({ deviceID: deviceId, optional: true }) }).add();
  assertResult(added);
  assertNotMatch(added.stderr, /undefined/);
  await assertInPod([rdmaDevice]);
});

vmCase("slow: DEL succeeds when the driver lets go of the device meanwhile", async () => {
  const pod = await firstPod();
  setSlowness({ removeMs: 1500 });
  const { deviceId } = pod;
  const unbinding = `cd ${
    directoryOf(deviceId)
  }; echo begin; echo ${deviceId} >driver/unbind; echo >/run/unbound`;
  await startBackground(unbinding, "begin");
  await until("the kernel is about to remove the device", () => shown(deviceId).uverbs === 0);
  assertQuiet(await pod.first.del());
  assertEquals(records(), []);
  await until("the driver is unbound", () => names("/run").includes("unbound")); // its link goes at the beginning
  bind(pod.deviceId);
  await until("the function has its device", () => again(pod).rdmaDevices.join() === pod.rdmaDevice);
});

vmCase("slow: DEL finds a device in the pod that a list of all has missed", async () => {
  const pod = await firstPod();
  // The kernel makes the list one device at a time and goes on by number: when the first leaves, the next is passed
  // over.
  const other = vf(1).rdmaDevice; // with a lower index than the pod's, which has to come after it
  rebind(pod.deviceId);
  await assertInPod([], "first");
  const { rdmaDevice } = vf(0);
  Deno.removeSync(`/var/lib/cni/rdma/${FILE}`);
  assertResult(await pod.first.add());
  await rdmaToNetns(other, "first");
  const deleting = await stopAfterNth("sendto", 2, (wrapper) => pod.first.del({ wrapper }));
  assertMatch(deleting.text, /NLM_F_REQUEST\|0x300/); // NLM_F_DUMP: the list has begun
  await hostRdmaDevices(other, "first");
  deleting.goOn();
  assertQuiet(await deleting.call);
  await assertInPod([], "first");
  assertEquals(records(), []);
  assertEquals(again(pod).rdmaDevices, [rdmaDevice]);
});
