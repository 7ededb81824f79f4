// Limits of RDMA resources: the kernel's rdma cgroup controller, and programs in a pod's cgroup that use its device.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  addNetns,
  addPod,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  deleteNetns,
  endBackground,
  HOLD_CONTEXT,
  inNetns,
  names,
  type Outcome,
  type PluginCall,
  prevResult,
  rdmaCni,
  readRecord,
  sh,
  shOk,
  startBackground,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { killAtNth } from "../../rig/vm/guest/injection.ts";
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

vmCase("limits: ADD that is killed while it sets a limit leaves what DEL takes away", async () => {
  const { deviceId } = await addPod();
  await using cgroup = await PodCgroup.create(CGROUPFS_CGROUP);
  const ends: number[] = [];
  for (const call of ["write", "close"]) {
    const wrapper = killAtNth(call, 1, "-P", `${CGROUP_V2}${CGROUPFS_CGROUP}/rdma.max`);
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
    const keys = { prevResult: NO_INTERFACES, deviceID: deviceId, rdmaLimits: { hcaHandle }, rdmaDeviceName };
    const call = { netns, containerId: netns, args: `K8S_POD_UID=${uid}` };
    const one = attachment(deviceId, { ...call, config: config(keys) });
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
