// CHECK finds what is no longer as ADD left it.
import {
  assertError,
  assertQuiet,
  assertResult,
  attachment,
  config,
  prevResult,
  STATE_DIRECTORY,
  writeRecord,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  deleteNetns,
  hostRdmaDevices,
  netdevToNetns,
  netnsPath,
  rebind,
  shOk,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

/** A pod with interface net1 and the RDMA device of VF 0. */
async function addedPod() {
  await addNetns("pod");
  const function_ = vf(0);
  await netdevToNetns(function_.netdev, "pod", "net1");
  const one = attachment(function_.deviceId, {
    config: config({ cniVersion: "1.1.0", deviceID: function_.deviceId }),
  });
  assertResult(await one.add());
  assertQuiet(await one.check());
  return { ...function_, ...one };
}

vmCase("check: the record is missing or unreadable", async () => {
  const pod = await addedPod();
  writeRecord("net-container1-net1", "");
  assertError(await pod.check(), 113, /it is empty/);
  Deno.removeSync(`${STATE_DIRECTORY}/net-container1-net1`);
  assertError(await pod.check(), 113, /there is no record/);
});

vmCase("check: the device has left the pod", async () => {
  const pod = await addedPod();
  await hostRdmaDevices(pod.rdmaDevice, "pod");
  assertError(await pod.check(), 113, /is not in "\/run\/netns\/pod", which has: none/);
});

vmCase("check: the driver was rebound", async () => {
  const pod = await addedPod();
  rebind(pod.deviceId);
  assertError(await pod.check(), 113, /\(index \d+\) is not in/);
});

vmCase("check: the device has another name", async () => {
  const pod = await addedPod();
  await shOk(`nsenter --net=${netnsPath("pod")} rdma dev set ${pod.rdmaDevice} name roce0`);
  assertError(await pod.check(), 113, /is called "roce0" by now/);
});

vmCase("check: the interface has gone", async () => {
  const pod = await addedPod();
  await shOk("ip -n pod link set net1 down && ip -n pod link set net1 name other");
  assertError(await pod.check(), 113, /interface "net1" is not in/);
});

vmCase("check: interfaces of the host and of later plugins do not matter", async () => {
  const pod = await addedPod();
  await shOk("ip -n pod link add dummy0 type dummy");
  const interfaces = [
    { name: "veth-of-host" },
    { name: "net1", sandbox: netnsPath("pod") },
    { name: "dummy0", sandbox: netnsPath("pod"), mac: "02:00:00:00:00:99" },
  ];
  assertQuiet(
    await pod.check({ config: config({ deviceID: pod.deviceId, prevResult: prevResult({ interfaces }) }) }),
  );
});

vmCase("check: the namespace has gone, or its path leads to another", async () => {
  const pod = await addedPod();
  await deleteNetns("pod");
  assertError(await pod.check(), 8, /it does not exist/);
  await addNetns("pod");
  assertError(await pod.check(), 113, /another namespace/);
});

vmCase("check: no prevResult", async () => {
  const pod = await addedPod();
  assertError(await pod.check({ config: config({ prevResult: undefined }) }), 7, /no prevResult/);
});
