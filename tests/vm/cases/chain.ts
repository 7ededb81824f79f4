// A chain as a runtime runs it: host-device moves the VF's netdev, then ours its RDMA device, through the real libcni.
import { assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import {
  again,
  assertInPod,
  assertNothingLeft,
  assertResult,
  records,
} from "../../rig/vm/guest/attachment.ts";
import { addPod, assertCode, EXAMPLES, libcni, shOk, vmCase } from "../../rig/vm/guest/harness.ts";

const CONFLIST = JSON.parse(Deno.readTextFileSync(`${EXAMPLES}/roce.conflist`));

vmCase("chain: host-device and rdma, ADD, CHECK and DEL through libcni", async () => {
  const { deviceId, netdev, rdmaDevice, mac } = await addPod();
  const call = {
    conflist: CONFLIST,
    netns: "pod",
    capabilities: { deviceID: deviceId },
    args: "IgnoreUnknown=1;K8S_POD_NAME=test",
  };
  const added = await libcni({ command: "add", ...call });
  assertResult(added);
  assertEquals(added.json!.interfaces, [{ name: "net1", mac, sandbox: "/run/netns/pod" }]);
  await assertInPod([rdmaDevice]);
  assertMatch(await shOk("ip -n pod -br link show net1"), /^net1/);

  await assertCode(0, libcni({ command: "check", ...call }));
  await assertCode(0, libcni({ command: "del", ...call }));
  assertNothingLeft();
  assertEquals(again({ deviceId }).netdev, netdev);
  assertEquals(records(), []);
});

vmCase("chain: CHECK through libcni fails once the device has another name", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const call = {
    conflist: CONFLIST,
    netns: "pod",
    capabilities: { deviceID: deviceId },
  };
  assertResult(await libcni({ command: "add", ...call }));
  await shOk(`nsenter --net=/run/netns/pod rdma dev set ${rdmaDevice} name roce0`);
  const checked = await libcni({ command: "check", ...call });
  assertNotEquals(checked.code, 0);
  assertMatch(checked.stdout + checked.stderr, /is called .*roce0.* by now/);
  assertEquals((await libcni({ command: "del", ...call })).code, 0);
  assertNothingLeft();
});

/** What a pod's author can write into an annotation, and what an administrator can get wrong after ADD. */
const WRONG: { keys: Record<string, unknown>; code?: number }[] = [
  { keys: { args: { cni: { debug: "yes" } } } },
  { keys: { args: { cni: { rdmaDeviceName: 7 } } } },
  { keys: { args: { cni: { deep: JSON.parse("[".repeat(2000) + "]".repeat(2000)) } } }, code: 6 },
  { keys: { logLevel: "verbose" } },
  { keys: { rdmaQoS: { tos: 960 } } },
  { keys: { allowPF: 3 } },
];

vmCase("chain: whatever else is wrong in the configuration, DEL restores device and netdev", async () => {
  const { deviceId, netdev, rdmaDevice } = await addPod();
  const call = { netns: "pod", capabilities: { deviceID: deviceId } };
  for (const { keys } of WRONG) {
    assertResult(await libcni({ command: "add", conflist: CONFLIST, ...call }));
    await assertInPod([rdmaDevice]);
    const plugins = CONFLIST.plugins.map((plugin: { type: string }) =>
      plugin.type === "rdma" ? { ...plugin, ...keys } : plugin
    );
    const deleted = await libcni({ command: "del", conflist: { ...CONFLIST, plugins }, ...call });
    assertEquals(deleted.code, 0, JSON.stringify(keys).slice(0, 80) + deleted.stdout + deleted.stderr);
    assertNothingLeft();
    assertEquals([again({ deviceId }).netdev, again({ deviceId }).rdmaDevices], [netdev, [rdmaDevice]]);
  }
});
