// RoCE QoS: the real configfs of the kernel's RDMA CM; the traffic class is the test module's, whose attribute is like
// that of mlx5 in NVIDIA's driver packages.
import { assert, assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import {
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  readRecord,
  records,
  STATE_DIRECTORY,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  addPod,
  type CompleteFunction,
  deleteNetns,
  names,
  plugin,
  rebind,
  setSimParameter,
  sh,
  shOk,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { killAtNth } from "../../rig/vm/guest/injection.ts";
import { LONG } from "../../rig/vm/guest/options.ts";

const CONFIGFS = "/sys/kernel/config";
const FILE = "net-container1-net1";
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

vmCase("qos: the kernel looks for a ToS by name in all namespaces, and each move makes it 0", async () => {
  const { rdmaDevice } = await preparedVf();
  await addNetns("pod");
  await shOk(`rdma dev set ${rdmaDevice} netns pod`);
  assertEquals(await qosOf(rdmaDevice, "pod"), { ...HOST, tos: "0" });
  await shOk(`mkdir ${group(rdmaDevice)} && echo 7 >${tosFile(rdmaDevice)} && rmdir ${group(rdmaDevice)}`);
  assertEquals((await qosOf(rdmaDevice, "pod")).tos, "7");
  await deleteNetns("pod");
  assertEquals(await qosOf(rdmaDevice), { ...HOST, tos: "0" });
}, { sets: ["plugin", "newest"] });

vmCase("qos: ADD sets both for the pod, DEL gives the host back what it had", async () => {
  const { deviceId, rdmaDevice } = await preparedVf();
  await addNetns("pod");
  const one = withQos(deviceId);
  assertResult(await one.add());
  await assertInPod([rdmaDevice]);
  assertEquals(await qosOf(rdmaDevice, "pod"), IN_POD);
  assertEquals(groups(), []);
  const [recorded] = readRecord(FILE).devices as { qos: unknown }[];
  assertEquals(recorded!.qos, { hadGroup: false, trafficClass: [8], tos: [32] });
  assertQuiet(await one.del());
  await assertRestored(rdmaDevice);
});

vmCase("qos: a traffic class that was not set is taken away; a group that was there stays", async () => {
  const { deviceId, rdmaDevice } = await preparedVf();
  await shOk(`echo -1 >${trafficClassFile(rdmaDevice)} && mkdir ${group(rdmaDevice)}`);
  try {
    await addNetns("pod");
    const one = withQos(deviceId);
    assertResult(await one.add());
    assertEquals(Deno.readTextFileSync(tosFile(rdmaDevice)), "104\n");
    assertQuiet(await one.del());
    assertEquals(Deno.readTextFileSync(trafficClassFile(rdmaDevice)), "");
    assertEquals(Deno.readTextFileSync(tosFile(rdmaDevice)), "32\n");
  } finally {
    await shOk(`rmdir ${group(rdmaDevice)}`);
  }
});

vmCase("qos: GC restores a device that returned under another name as its namespace ended", async () => {
  const { deviceId, rdmaDevice } = await preparedVf();
  await addNetns("pod");
  assertResult(await withQos(deviceId).add());
  await shOk("nsenter --net=/run/netns/pod rdma dev set " + `${rdmaDevice} name roce0`);
  await deleteNetns("pod");
  assertEquals(await qosOf("roce0"), { ...IN_POD, tos: "0" });
  assertQuiet(
    await plugin({
      command: "GC",
      config: { cniVersion: "1.1.0", name: "net", type: "rdma", "cni.dev/valid-attachments": [] },
    }),
  );
  await assertRestored(rdmaDevice);
});

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

vmCase("qos: a driver without traffic class is told, and nothing is changed", async () => {
  setSimParameter("kernel_verbs", true);
  rebind(vf(0).deviceId);
  const { deviceId, rdmaDevice } = await addPod();
  const words = `traffic class of RDMA device "${rdmaDevice}".*${rdmaDevice}/tc" is not there.*MLNX_OFED`;
  assertError(await withQos(deviceId).add(), 103, new RegExp(words));
  assertEquals(groups(), []);
  assertNothingLeft();
  const one = withQos(deviceId, { tos: 104 });
  assertResult(await one.add());
  assertEquals(await tosOf(rdmaDevice), "104");
  assertQuiet(await one.del());
  assertNothingLeft();
  const fork = withQos(deviceId, { tos: 104, tc: 106 });
  const added = await fork.add();
  assertResult(added);
  assertMatch(added.stderr, /level="warning" msg="Cannot read the traffic class .*, as rdmaQoS\.tc allows"/);
  assertEquals(await tosOf(rdmaDevice), "104");
  assertQuiet(await fork.del());
  assertNothingLeft();
});

vmCase("qos: inherit keeps the host's values in the pod, and they are the host's again", async () => {
  const { deviceId, rdmaDevice } = await preparedVf();
  await addNetns("pod");
  const one = withQos(deviceId, "inherit");
  assertResult(await one.add());
  assertEquals(await qosOf(rdmaDevice, "pod"), HOST);
  assertQuiet(await one.del());
  await assertRestored(rdmaDevice);
});

vmCase("qos: a pod that NVIDIA's fork of the Go plugin started ends: the host's values return", async () => {
  const { deviceId, rdmaDevice } = await preparedVf();
  await addNetns("pod");
  // What the fork does (cmd/rdma/main.go, CmdAdd); it leaves the group in configfs.
  await shOk(
    `echo 106 >${trafficClassFile(rdmaDevice)} && rdma dev set ${rdmaDevice} name custom &&
   rdma dev set custom netns pod && mkdir ${group("custom")} && echo 104 >${tosFile("custom")} && rmdir ${
      group("custom")
    }`,
  );
  assertEquals(await qosOf("custom", "pod"), IN_POD);
  const record = {
    version: "1.0",
    deviceID: deviceId,
    sandboxRdmaDevName: rdmaDevice,
    containerRdmaDevName: "custom",
  };
  Deno.mkdirSync(STATE_DIRECTORY, { recursive: true, mode: 0o700 });
  Deno.writeTextFileSync(
    `${STATE_DIRECTORY}/${FILE}`,
    JSON.stringify({ ...record, rdmaQoS: { tos: 32, tc: 8 } }),
  );
  assertQuiet(await attachment(deviceId).del());
  await assertRestored(rdmaDevice);
});

vmCase("qos: a device that RDMA CM does not take is told so, and nothing is changed", async () => {
  setSimParameter("has_traffic_class", true);
  rebind(vf(0).deviceId);
  const { deviceId, rdmaDevice } = await addPod();
  const words = `default ToS of RDMA device "${rdmaDevice}".*No such device.*that supports RDMA CM`;
  assertError(await withQos(deviceId).add(), 103, new RegExp(words));
  assertEquals(groups(), []);
  assertNothingLeft();
  assertEquals(Deno.readTextFileSync(trafficClassFile(rdmaDevice)), "");
});

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

vmCase("qos: who asks for neither QoS nor device information pays no system call for them", async () => {
  const { deviceId } = await preparedVf();
  await addNetns("pod");
  const one = attachment(deviceId, { wrapper: ["strace", "-f", "-y", "-o", "/run/trace"] });
  for (const call of ["add", "del"] as const) {
    assertEquals((await one[call]()).code, 0);
    assertEquals((await sh("grep -E 'kernel/config|/tc/|traffic_class|k8s\\.cni' /run/trace")).stdout, "");
    assertNotEquals((await sh("grep infiniband /run/trace")).stdout, "");
  }
  assertEquals(records(), []);
});
