// A chain as a runtime runs it: host-device moves the VF's netdev, then ours its RDMA device, through the real libcni.
import assert from "node:assert/strict";
import { again, assertInPod, assertNothingLeft, assertResult, records } from "../guest/attachment.ts";
import { addNetns, EXAMPLES, libcni, shOk, vf, vmCase } from "../guest/harness.ts";

const CONFLIST = JSON.parse(Deno.readTextFileSync(`${EXAMPLES}/roce.conflist`));

vmCase("chain: host-device and rdma, ADD, CHECK and DEL through libcni", async () => {
  const { deviceId, netdev, rdmaDevice, mac } = vf(0);
  await addNetns("pod");
  const call = {
    conflist: CONFLIST,
    netns: "pod",
    capabilities: { deviceID: deviceId },
    args: "IgnoreUnknown=1;K8S_POD_NAME=test",
  };
  const added = await libcni({ command: "add", ...call });
  assertResult(added);
  assert.deepEqual(added.json!.interfaces, [{ name: "net1", mac, sandbox: "/run/netns/pod" }]);
  await assertInPod([rdmaDevice]);
  assert.match(await shOk("ip -n pod -br link show net1"), /^net1/);

  const checked = await libcni({ command: "check", ...call });
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  const deleted = await libcni({ command: "del", ...call });
  assert.equal(deleted.code, 0, deleted.stdout + deleted.stderr);
  assertNothingLeft();
  assert.equal(again({ deviceId }).netdev, netdev);
  assert.deepEqual(records(), []);
});

vmCase("chain: CHECK through libcni fails once the device has another name", async () => {
  const { deviceId, rdmaDevice } = vf(0);
  await addNetns("pod");
  const call = {
    conflist: CONFLIST,
    netns: "pod",
    capabilities: { deviceID: deviceId },
  };
  assertResult(await libcni({ command: "add", ...call }));
  await shOk(
    `nsenter --net=/run/netns/pod rdma dev set ${rdmaDevice} name roce0`,
  );
  const checked = await libcni({ command: "check", ...call });
  assert.notEqual(checked.code, 0);
  assert.match(checked.stdout + checked.stderr, /is called .*roce0.* by now/);
  assert.equal((await libcni({ command: "del", ...call })).code, 0);
  assertNothingLeft();
});
