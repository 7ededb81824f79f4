// Limits of RDMA resources: the kernel's rdma cgroup controller, and programs in a pod's cgroup that use its device.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  gc,
  prevResult,
  readRecord,
} from "../../rig/vm/guest/attachment.ts";
import { rdmaCni } from "../../rig/vm/guest/command.ts";
import {
  addNetns,
  addPod,
  deleteNetns,
  endBackground,
  HOLD_CONTEXT,
  holdNetns,
  inNetns,
  names,
  type Outcome,
  type PluginCall,
  sh,
  shOk,
  startBackground,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import {
  CGROUP_V2,
  CGROUPFS_CGROUP,
  mountCgroupV1,
  POD_UID,
  PodCgroup,
  SYSTEMD_CGROUP,
} from "../../rig/vm/guest/pod_cgroup.ts";

/** What CHECK finds without an interface in the pod. */
const NO_INTERFACES = prevResult({ interfaces: [] });
const FILE = "net-container1-net1";

/** A pod "pod" whose network has limits. */
function limited(deviceId: string, rdmaLimits: unknown, more: Partial<PluginCall> = {}) {
  return attachment(deviceId, {
    config: config({ deviceID: deviceId, rdmaLimits, prevResult: NO_INTERFACES }),
    args: `IgnoreUnknown=1;K8S_POD_UID=${POD_UID}`,
    ...more,
  });
}

/** The command of a program in a pod's container that takes a context and a protection domain of the function's device. */
function holdCommand(cgroup: PodCgroup, deviceId: string, netns?: string): string {
  const [uverbs] = names(`/sys/bus/pci/devices/${deviceId}/infiniband_verbs`);
  const program = inNetns(netns, `'${HOLD_CONTEXT}' /dev/infiniband/${uverbs}`);
  return `echo $$ >${cgroup.container}/cgroup.procs && exec ${program}`;
}

const hold = (...pod: Parameters<typeof holdCommand>) => startBackground(holdCommand(...pod), "held");
const tryToHold = (...pod: Parameters<typeof holdCommand>) =>
  sh(holdCommand(...pod).replace("exec", "exec timeout 30"));

function assertRefused({ code, stderr }: Outcome): void {
  assertEquals(code, 1, stderr);
  assertMatch(stderr, /Resource temporarily unavailable/);
}

vmCase("limits: the kernel keeps a device's limits when it is moved and renamed", async () => {
  const { rdmaDevice } = await addPod();
  await using cgroup = await PodCgroup.create(SYSTEMD_CGROUP);
  await shOk(`echo ${rdmaDevice} hca_handle=1 >${CGROUP_V2}${SYSTEMD_CGROUP}/rdma.max`);
  await shOk(`rdma dev set ${rdmaDevice} netns pod`);
  assertEquals(cgroup.limits(), [`${rdmaDevice} hca_handle=1 hca_object=max`]);
  await shOk(`nsenter --net=/run/netns/pod rdma dev set ${rdmaDevice} name roce0`);
  assertEquals(cgroup.limits(), ["roce0 hca_handle=1 hca_object=max"]);
  await deleteNetns("pod");
  assertEquals(cgroup.limits(), ["roce0 hca_handle=1 hca_object=max"]);
  await shOk(`rdma dev set roce0 name ${rdmaDevice}`);
}, { sets: ["plugin", "newest"] });

for (
  const { what, path, isVersion1 } of [
    { what: "cgroup v2, kubelet's driver systemd", path: SYSTEMD_CGROUP, isVersion1: false },
    { what: "cgroup v2, kubelet's driver cgroupfs", path: CGROUPFS_CGROUP, isVersion1: false },
    { what: "cgroup v1", path: CGROUPFS_CGROUP, isVersion1: true },
  ]
) {
  vmCase(`limits: ${what}: a pod opens its device once with hcaHandle 1, often after DEL`, async () => {
    const { deviceId, rdmaDevice } = await addPod();
    await using stack = new AsyncDisposableStack();
    const mount = isVersion1 ? stack.use(await mountCgroupV1()).mount : CGROUP_V2;
    const cgroup = stack.use(await PodCgroup.create(path, { mount }));
    const one = limited(deviceId, { hcaHandle: 1 });
    assertResult(await one.add());
    await assertInPod([rdmaDevice]);
    assertEquals(readRecord(FILE)["limits"], { cgroup: path, hcaHandle: 1 });
    await hold(cgroup, deviceId, "pod");
    assertRefused(await tryToHold(cgroup, deviceId, "pod"));
    assertQuiet(await one.check());
    await endBackground();
    assertQuiet(await one.del());
    assertNothingLeft();
    assertEquals(cgroup.limits(), []);
    for (let program = 0; program < 2; program++) await hold(cgroup, deviceId);
  });
}

vmCase("limits: with hcaObject 0 a program gets a context and no protection domain", async () => {
  const { deviceId } = await addPod();
  await using cgroup = await PodCgroup.create(SYSTEMD_CGROUP);
  const one = limited(deviceId, { hcaHandle: "max", hcaObject: 0 });
  assertResult(await one.add());
  const refused = await tryToHold(cgroup, deviceId, "pod");
  assertRefused(refused);
  assertMatch(refused.stderr, /uverbs command 3/); // ALLOC_PD
  assertQuiet(await one.del());
  assertEquals(cgroup.limits(), []);
});

vmCase("limits: CNI_NETNS of a process limits its container's pod, by the device's name there", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  await using cgroup = await PodCgroup.create(SYSTEMD_CGROUP);
  const { pid } = await holdNetns("pod");
  await shOk(`echo ${pid} >${cgroup.container}/cgroup.procs`);
  const named = config({
    deviceID: deviceId,
    rdmaLimits: { hcaHandle: 3 },
    rdmaDeviceName: "rdma_{ifname}",
  });
  const one = attachment(deviceId, { netns: `/proc/${pid}/ns/net`, config: named });
  assertResult(await one.add());
  assertEquals(cgroup.limits(), ["rdma_net1 hca_handle=3 hca_object=max"]);
  assertQuiet(await one.del());
  assertEquals(cgroup.limits(), []);
  assertEquals(vf(0).rdmaDevice, rdmaDevice);
});

/** What the doctor says about the node's network configurations. */
async function networkFixes(): Promise<string[]> {
  const { findings } = JSON.parse((await rdmaCni("doctor --json")).stdout);
  return findings.flatMap(({ group, fix }: { group: string; fix?: string }) =>
    group === "networks" && fix !== undefined ? [fix] : []
  );
}

vmCase("limits: a controller that is not enabled is code 103, and its commands enable it", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  await using cgroup = await PodCgroup.create(SYSTEMD_CGROUP, { isEnabled: false });
  const one = limited(deviceId, { hcaHandle: 1 });
  const refused = await one.add();
  assertError(refused, 103, /rdma controller is not enabled/);
  assertNothingLeft();
  const [, commands] = /in those above: (.* done);/.exec(`${refused.json!["details"]}`)!;
  const plugins = [{ type: "sriov" }, { type: "rdma", rdmaLimits: { hcaHandle: 1 } }];
  const network = JSON.stringify({ cniVersion: "1.0.0", name: "net", plugins });
  await Deno.writeTextFile("/etc/cni/net.d/10-net.conflist", network);
  assertEquals(await networkFixes(), [commands]);
  await shOk(commands!);
  assertEquals(await networkFixes(), []);
  assertResult(await one.add());
  assertEquals(cgroup.limits(), [`${rdmaDevice} hca_handle=1 hca_object=max`]);
  assertQuiet(await one.del());
});

vmCase("limits: a pod without cgroup is code 103, and DEL succeeds though the cgroup is gone", async () => {
  const { deviceId } = await addPod();
  const one = limited(deviceId, { hcaHandle: 1 });
  assertError(await one.add(), 103, /cannot find the pod's cgroup/);
  assertNothingLeft();
  const cgroup = await PodCgroup.create(CGROUPFS_CGROUP);
  assertResult(await one.add());
  // A context that was opened in the cgroup lets the kernel free the limits, see PodCgroup.remove.
  const { pid } = await hold(cgroup, deviceId, "pod");
  await shOk(`echo ${pid} >${CGROUP_V2}/cgroup.procs`);
  await cgroup.remove();
  assertQuiet(await one.del());
  assertNothingLeft();
});

vmCase("limits: CHECK fails when a limit was changed, GC takes it away", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  await using cgroup = await PodCgroup.create(CGROUPFS_CGROUP);
  const one = limited(deviceId, { hcaHandle: 1 });
  assertResult(await one.add());
  await shOk(`echo ${rdmaDevice} hca_handle=5 >${CGROUP_V2}${CGROUPFS_CGROUP}/rdma.max`);
  assertError(await one.check(), 113, /limits hcaHandle of RDMA device .* to 5, want 1/);
  assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
  assertNothingLeft();
  assertEquals(cgroup.limits(), []);
});

for (const command of ["DEL", "gc"]) {
  vmCase(`limits: a late ${command} leaves none, though the next pod has renamed the device`, async () => {
    const { deviceId } = await addPod();
    await using cgroup = await PodCgroup.create(CGROUPFS_CGROUP);
    const one = limited(deviceId, { hcaHandle: 1 });
    assertResult(await one.add());
    await deleteNetns("pod");
    await addNetns("second");
    const next = attachment(deviceId, {
      netns: "second",
      containerId: "container2",
      config: config({ deviceID: deviceId, rdmaDeviceName: "roce7" }),
    });
    assertResult(await next.add());
    assertEquals(cgroup.limits(), ["roce7 hca_handle=1 hca_object=max"]);
    if (command === "DEL") assertQuiet(await one.del());
    else assertEquals((await rdmaCni("gc")).code, 0);
    assertEquals(cgroup.limits(), []);
    await assertInPod(["roce7"], "second");
    assertQuiet(await next.del());
    assertNothingLeft();
  });
}

vmCase("limits: DEL leaves none, though somebody took the device to another namespace", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  await addNetns("other");
  await using cgroup = await PodCgroup.create(CGROUPFS_CGROUP);
  const one = limited(deviceId, { hcaHandle: 1 });
  assertResult(await one.add());
  await shOk(`nsenter --net=/run/netns/pod rdma dev set ${rdmaDevice} netns other`);
  assertQuiet(await one.del());
  assertEquals(cgroup.limits(), []);
  await deleteNetns("other");
  assertQuiet(await one.del());
  assertNothingLeft();
});

vmCase("limits: ADD that is killed while it sets a limit leaves what DEL takes away", async () => {
  const { deviceId } = await addPod();
  await using cgroup = await PodCgroup.create(CGROUPFS_CGROUP);
  const ends: number[] = [];
  for (const event of ["write:signal=KILL", "close:signal=KILL"]) {
    const wrapper = [
      "strace",
      "-f",
      "-o",
      "/dev/null",
      "-P",
      `${CGROUP_V2}${CGROUPFS_CGROUP}/rdma.max`,
      "-e",
      `inject=${event}`,
    ];
    const { code, stderr } = await limited(deviceId, { hcaHandle: 1 }).add({ wrapper });
    assertEquals(code, 137, stderr);
    ends.push(cgroup.limits().length);
    assertQuiet(await limited(deviceId, { hcaHandle: 1 }).del());
    assertNothingLeft();
    assertEquals(cgroup.limits(), []);
  }
  assert(ends.includes(1), "once it is killed with the limit set");
});

vmCase("limits: devices of one name in two pods have their own limits", async () => {
  const pods = [
    { netns: "one", uid: POD_UID.replace(/b$/, "1"), hcaHandle: 1 },
    { netns: "two", uid: POD_UID.replace(/b$/, "2"), hcaHandle: 2 },
  ];
  // The second device keeps its name, which the first has by then.
  const rdmaDeviceName = vf(1).rdmaDevice;
  await using stack = new AsyncDisposableStack();
  for (const [number, { netns, uid, hcaHandle }] of pods.entries()) {
    await addNetns(netns);
    const cgroup = stack.use(await PodCgroup.create(`/kubepods/pod${uid}`));
    const { deviceId } = vf(number);
    const named = config({
      prevResult: NO_INTERFACES,
      deviceID: deviceId,
      rdmaLimits: { hcaHandle },
      rdmaDeviceName,
    });
    const one = attachment(deviceId, {
      netns,
      containerId: netns,
      config: named,
      args: `K8S_POD_UID=${uid}`,
    });
    assertResult(await one.add());
    assertQuiet(await one.check());
    stack.defer(async () => {
      assertQuiet(await one.check());
      assertQuiet(await one.del());
      assertEquals(cgroup.limits(), []);
    });
    for (let program = 0; program < hcaHandle; program++) await hold(cgroup, deviceId, netns);
    assertRefused(await tryToHold(cgroup, deviceId, netns));
  }
}, { sets: ["plugin", "newest"], needs: "namesPerNetns" });

vmCase("limits: who asks for none pays no system call for them", async () => {
  const { deviceId } = await addPod();
  await using _cgroup = await PodCgroup.create(SYSTEMD_CGROUP);
  const traced = async (rdmaLimits?: unknown) => {
    const one = limited(deviceId, rdmaLimits, { wrapper: ["strace", "-f", "-y", "-o", "/run/trace"] });
    const found: string[] = [];
    for (const call of ["add", "del"] as const) {
      assertEquals((await one[call]()).code, 0);
      // Deno's runtime itself looks for a limit of CPU time in its own cgroup.
      found.push((await sh("grep -E 'mountinfo|kubepods|rdma.max' /run/trace")).stdout);
    }
    return found;
  };
  assertEquals(await traced(), ["", ""]);
  assert((await traced({ hcaHandle: 1 })).every((calls) => calls.includes("rdma.max")));
});
