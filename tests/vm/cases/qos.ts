// RoCE QoS: the real configfs of the kernel's RDMA CM; the traffic class is the test module's, whose attribute is like
// that of mlx5 in NVIDIA's driver packages.
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
  type CompleteFunction,
  config,
  names,
  rebind,
  setSimParameter,
  shOk,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { killAtNth } from "../../rig/vm/guest/injection.ts";
import { LONG } from "../../rig/vm/guest/options.ts";

const CONFIGFS = "/sys/kernel/config";
const HOST = { trafficClass: "Global tclass=8", tos: "32" };
const IN_POD = { trafficClass: "Global tclass=106", tos: "104" };

const group = (device: string) => `${CONFIGFS}/rdma_cm/${device}`;
const tosFile = (device: string) => `${group(device)}/ports/1/default_roce_tos`;
const trafficClassFile = (device: string) => `/sys/class/infiniband/${device}/tc/1/traffic_class`;
const groups = () => names(`${CONFIGFS}/rdma_cm`);

/** A device's QoS, by other means than the plugin's. */
async function qosOf(device: string, netns?: string) {
  const inside = netns === undefined ? "" : `ip netns exec ${netns} `; // which mounts a sysfs of that namespace
  return {
    trafficClass: await shOk(`${inside}cat ${trafficClassFile(device)}`),
    tos: await tosOf(device),
  };
}

async function tosOf(device: string): Promise<string> {
  return await shOk(`mkdir ${group(device)} && cat ${tosFile(device)} && rmdir ${group(device)}`);
}

/** A virtual function whose device can do both, with values of the host's own. */
async function preparedVf(number = 0): Promise<CompleteFunction> {
  setSimParameter("has_traffic_class", true);
  setSimParameter("kernel_verbs", true);
  rebind(vf(number).deviceId);
  const one = vf(number);
  const { rdmaDevice } = one;
  await shOk(
    `echo 8 >${trafficClassFile(rdmaDevice)} &&
     mkdir ${group(rdmaDevice)} && echo 32 >${tosFile(rdmaDevice)} && rmdir ${group(rdmaDevice)}`,
  );
  assertEquals(await qosOf(rdmaDevice), HOST);
  return one;
}

function withQos(deviceId: string, rdmaQoS: unknown = { tos: 104, trafficClass: 106 }) {
  return attachment(deviceId, { config: config({ deviceID: deviceId, rdmaQoS }) });
}

async function assertRestored(device: string): Promise<void> {
  assertNothingLeft();
  assertEquals(groups(), []);
  assertEquals(await qosOf(device), HOST);
}

vmCase("qos: a device with a name of its own in the pod has QoS and information under it", async () => {
  const { deviceId, rdmaDevice } = await preparedVf();
  await addNetns("pod");
  const file = "/var/run/k8s.cni.cncf.io/devinfo/cni/pod";
  const one = attachment(deviceId, {
    config: config({
      deviceID: deviceId,
      rdmaQoS: { tos: 104, trafficClass: 106 },
      rdmaDeviceName: "rdma_{ifname}",
      runtimeConfig: { CNIDeviceInfoFile: file },
    }),
  });
  assertResult(await one.add());
  await assertInPod(["rdma_net1"]);
  assertEquals(await qosOf("rdma_net1", "pod"), IN_POD);
  assertEquals(JSON.parse(Deno.readTextFileSync(file)).pci["rdma-device"], "rdma_net1");
  assertEquals(groups(), []);
  assertQuiet(await one.del());
  await assertRestored(rdmaDevice);
}, { sets: ["plugin", "newest"] });

for (
  const [what, able, words] of [
    ["a driver without traffic class", "kernel_verbs", 'traffic class of .*/tc" is not there.*MLNX_OFED'],
    [
      "a device that RDMA CM does not take",
      "has_traffic_class",
      "default ToS of .*No such device.*that supports RDMA CM",
    ],
  ] as const
) {
  vmCase(`qos: ${what} is told, and nothing is changed`, async () => {
    setSimParameter(able, true);
    rebind(vf(0).deviceId);
    const { deviceId, rdmaDevice } = await addPod();
    assertError(await withQos(deviceId).add(), 103, new RegExp(words));
    assertNothingLeft();
    assertEquals(groups(), []);
    if (able === "has_traffic_class") {
      assertEquals(Deno.readTextFileSync(trafficClassFile(rdmaDevice)), "");
    } else {
      const fork = withQos(deviceId, { tos: 104, tc: 106 });
      const added = await fork.add();
      assertResult(added);
      assertMatch(
        added.stderr,
        /level="warning" msg="Cannot read the traffic class .*, as rdmaQoS\.tc allows"/,
      );
      assertEquals(await tosOf(rdmaDevice), "104");
      assertQuiet(await fork.del());
      assertNothingLeft();
    }
  });
}

vmCase("qos: without configfs it is told what is missing, and nothing is changed", async () => {
  const { deviceId, rdmaDevice } = await preparedVf();
  await addNetns("pod");
  await shOk(`umount ${CONFIGFS}`);
  try {
    assertError(
      await withQos(deviceId).add(),
      103,
      new RegExp(
        `default ToS of RDMA device "${rdmaDevice}".*rdma_cm/${rdmaDevice}.*mount -t configfs.*modprobe rdma_cm`,
      ),
    );
    assertNothingLeft();
  } finally {
    await shOk(`mount -t configfs configfs ${CONFIGFS}`);
  }
  await assertRestored(rdmaDevice);
});

vmCase("qos: ADD that is killed at any step of it leaves what DEL restores", async () => {
  const { deviceId, rdmaDevice } = await preparedVf();
  await addNetns("pod");
  const paths = [trafficClassFile(rdmaDevice), group(rdmaDevice), tosFile(rdmaDevice)].flatMap((
    path,
  ) => ["-P", path]);
  const killed: Record<string, number> = {};
  let leftGroups = 0;
  const calls = LONG ? ["openat", "write", "mkdir", "rmdir"] : ["write", "rmdir"];
  for (const call of calls) {
    for (let time = 1;; time++) {
      const wrapper = killAtNth(call, time, ...paths);
      const { code, stderr } = await withQos(deviceId).add({ wrapper });
      leftGroups += groups().length;
      assertQuiet(await withQos(deviceId).del());
      await assertRestored(rdmaDevice);
      if (code === 0) break;
      assertEquals(code, 137, stderr);
      killed[call] = time;
    }
  }
  assertEquals(Object.keys(killed), calls, "each kind of step was hit");
  assert(leftGroups > 0, "a group is left when the process ends before it removes it");
}, { limitMs: 600_000 });
