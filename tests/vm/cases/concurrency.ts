// Calls at the same time as other calls, or as the kernel or another program does something to the same function.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  addNetns,
  addPod,
  again,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  bind,
  config,
  gc,
  hostRdmaDevices,
  names,
  netnsCount,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  rebind,
  records,
  setSimParameter,
  setSlowness,
  sf,
  shOk,
  startBackground,
  startInMove,
  STATE_DIRECTORY,
  until,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { stopAfterNth } from "../../rig/vm/guest/injection.ts";

const FILE = "net-container1-net1";

/** The device of a virtual function for a pod that is called as the function's number says. */
async function numberedPod(number: number) {
  const name = `pod${number}`;
  await addNetns(name);
  return { ...vf(number), ...attachment(vf(number).deviceId, { netns: name, containerId: name }), name };
}

vmCase("concurrency: five ADDs at once, then five DELs", async () => {
  const pods = await Promise.all([0, 1, 2, 3, 4].map(numberedPod));
  const readUverbs = () => shOk("grep -H . /sys/class/infiniband_verbs/uverbs*/ibdev");
  const uverbs = await readUverbs();
  for (const added of await Promise.all(pods.map(({ add }) => add()))) assertResult(added);
  for (const { name, rdmaDevice } of pods) await assertInPod([rdmaDevice], name);
  assertEquals(await readUverbs(), uverbs, "uverbs numbers kept");
  assertEquals(records().length, 5);
  for (const deleted of await Promise.all(pods.map(({ del }) => del()))) assertQuiet(deleted);
  assertNothingLeft();
}, { sets: ["concurrency"] });

vmCase("concurrency: two ADDs of one function at once, one gets it", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  await addNetns("second");
  const calls = ["pod", "second"].map((netns) => attachment(deviceId, { netns, containerId: netns }));
  const added = await Promise.all(calls.map((call) => call.add()));
  const winner = added.findIndex(({ code }) => code === 0);
  assertError(added[1 - winner]!, 111, /in another network namespace/);
  await assertInPod([rdmaDevice], ["pod", "second"][winner]!);
  assertEquals(records().length, 1);
}, { sets: ["concurrency"] });

// What happens while the kernel moves the device of an ADD or a DEL.

/** The pod's function and attachment, and the call that is at work. */
type AtWork = ReturnType<typeof attachment> & {
  deviceId: string;
  rdmaDevice: string;
  call: Deno.ChildProcess;
};

interface Crossed {
  what: string;
  command?: "ADD" | "DEL";
  happens: (pod: AtWork) => Promise<unknown>;
  /** How the call ends, a signal counting as 128 + its number, and the records then; not looked at unless told. */
  ends?: { code?: number; left: string[] };
}

const collect = async (valid: object[]) => assertQuiet(await gc({ "cni.dev/valid-attachments": valid }));
const end = (signal: Deno.Signal) => ({ call }: AtWork) => Promise.resolve(call.kill(signal));

const CROSSED: Crossed[] = [
  {
    what: "its own DEL waits for it and restores the device",
    happens: async ({ del }) => assertQuiet(await del()),
    ends: { left: [] },
  },
  {
    what: "the same ADD succeeds too",
    happens: async ({ add }) => assertResult(await add()),
    ends: { left: [FILE] },
  },
  {
    what: "a GC that has it listed leaves it alone",
    happens: () => collect([{ containerID: "container1", ifname: "net1" }]),
    ends: { left: [FILE] },
  },
  { what: "a GC that does not have it listed undoes it", happens: () => collect([]), ends: { left: [] } },
  {
    what: "the next pod's ADD gets the device",
    command: "DEL",
    happens: async ({ deviceId, rdmaDevice }) => {
      await addNetns("next");
      const next = attachment(deviceId, { netns: "next", containerId: "container2" });
      assertResult(await next.add());
      await assertInPod([rdmaDevice], "next");
      assertQuiet(await next.del());
    },
    ends: { left: [] },
  },
  { what: "the pod's path goes", happens: () => shOk("ip netns del pod") },
  { what: "the driver is rebound", happens: ({ deviceId }) => Promise.resolve(rebind(deviceId)) },
  { what: "SIGKILL ends it", happens: end("SIGKILL"), ends: { code: 137, left: [FILE] } },
  { what: "SIGTERM ends it", happens: end("SIGTERM"), ends: { code: 143, left: [FILE] } },
  { what: "SIGTERM ends it", command: "DEL", happens: end("SIGTERM"), ends: { code: 143, left: [FILE] } },
];

for (const { what, command = "ADD", happens, ends } of CROSSED) {
  vmCase(`faults: while ${command} is at work ${what}, and DEL leaves nothing`, async () => {
    const { deviceId, rdmaDevice } = await addPod();
    const pod = attachment(deviceId);
    if (command === "DEL") assertResult(await pod.add());
    const call = await startInMove(command, deviceId);
    const [{ code }] = await Promise.all([call.status, happens({ ...pod, deviceId, rdmaDevice, call })]);
    if (ends) {
      assertEquals([code, records()], [ends.code ?? 0, ends.left]);
      await assertInPod(command === "ADD" && ends.left.length > 0 ? [rdmaDevice] : []);
    }
    assertQuiet(await pod.del());
    assertNothingLeft();
  });
}

vmCase("faults: SIGTERM ends a call that waits for the lock, and nothing has changed", async () => {
  const { deviceId } = await addPod();
  await shOk(`mkdir -p ${STATE_DIRECTORY}`);
  const hold = `exec flock --no-fork ${STATE_DIRECTORY} sh -c "echo locked; exec sleep infinity"`;
  await startBackground(hold, "locked");
  const added = await attachment(deviceId).add({ wrapper: ["timeout", "3"] });
  assertEquals([added.code, added.stdout], [124, ""]);
  assert(added.ms < 20_000, `${added.ms} ms`); // before it gives up waiting
  assertNothingLeft();
});

vmCase("faults: a changed uverbs number is reported", async () => {
  await addNetns("pod");
  // With a lower number free, the kernel gives that one when the device comes up again.
  await shOk(`echo ${vf(0).deviceId} >/sys/bus/pci/drivers/igbvf/unbind`);
  const added = await attachment(vf(1).deviceId).add();
  assertResult(added);
  assertMatch(
    added.stderr,
    /level="warning".*had \/dev\/infiniband\/uverbs\d+ and has \/dev\/infiniband\/uverbs\d+/,
  );
});

vmCase("faults: another program takes the device out of the pod while ADD is at work", async () => {
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

// What calls conclude while the kernel is about to move or remove a device, which a client of ib_core makes slow.

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

async function untilOnHost(left = 1): Promise<void> {
  await until("the namespace is gone", () => netnsCount() === left);
  setSlowness({});
}

vmCase("rig: a device on its way is in neither class of sysfs for a while, but is counted", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const { index } = (await rdmaDevices()).find(({ name }) => name === rdmaDevice)!;
  assertEquals(shown(deviceId), { devices: 1, uverbs: 1, counted: 1 });
  await rdmaToNetns(rdmaDevice, "pod");
  assertEquals(shown(deviceId), { devices: 0, uverbs: 1, counted: 1 });
  setSlowness({ removeMs: 1000, addMs: 1000 });
  await shOk("ip netns del pod");
  await until("the device is in neither class", () => shown(deviceId).uverbs === 0);
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
  const { deviceId } = await addPod();
  await addNetns("second");
  assertResult(await attachment(deviceId).add());
  const both = (await rdmaNames("pod")).sort();
  setSlowness({ removeMs: 1500 });
  await shOk("ip netns del pod");
  await until("one device is on the host, the other not", () => {
    const { devices, uverbs } = shown(deviceId);
    return devices === 1 && uverbs === 1;
  });
  const keys = { deviceID: deviceId, optional: true };
  const second = attachment(deviceId, { netns: "second", containerId: "second", config: config(keys) });
  assertResult(await second.add());
  await assertInPod(both, "second");
  await untilOnHost(2);
  assertQuiet(await second.del());
  assertEquals(again({ deviceId }).rdmaDevices.sort(), both);
});

vmCase("slow: DEL succeeds when the driver lets go of the device meanwhile", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  assertResult(await attachment(deviceId).add());
  setSlowness({ removeMs: 1500 });
  const unbind = `cd ${
    directoryOf(deviceId)
  }; echo begin; echo ${deviceId} >driver/unbind; echo >/run/unbound`;
  await startBackground(unbind, "begin");
  await until("the kernel is about to remove the device", () => shown(deviceId).uverbs === 0);
  assertQuiet(await attachment(deviceId).del());
  assertEquals(records(), []);
  await until("the driver is unbound", () => names("/run").includes("unbound")); // its link goes at the beginning
  bind(deviceId);
  await until("the function has its device", () => again({ deviceId }).rdmaDevices.join() === rdmaDevice);
});

vmCase("slow: DEL finds a device in the pod that a list of all has missed", async () => {
  const { deviceId } = await addPod();
  // The kernel makes the list one device at a time and goes on by number: when the first leaves, the next is passed
  // over.
  const other = vf(1).rdmaDevice; // with a lower index than the pod's, which has to come after it
  rebind(deviceId);
  assertResult(await attachment(deviceId).add());
  await rdmaToNetns(other, "pod");
  const deleting = await stopAfterNth("sendto", 2, (wrapper) => attachment(deviceId).del({ wrapper }));
  assertMatch(deleting.text, /NLM_F_REQUEST\|0x300/); // NLM_F_DUMP: the list has begun
  await hostRdmaDevices(other, "pod");
  deleting.goOn();
  assertQuiet(await deleting.call);
  await assertInPod([]);
  assertNothingLeft();
});
