// What the plugin refuses for reasons that only a real node has; tests/scenarios/add.ts has the rest.
import { assertEquals, assertMatch } from "../../support/assert.ts";
import {
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
import { addNetns, addPod, plugin, shOk, vf, vmCase } from "../../rig/vm/guest/harness.ts";
import { WITHOUT_LIBMNL } from "../../rig/vm/guest/programs.ts";

vmCase("refusal: a path that leads to no network namespace", async () => {
  const { deviceId } = vf(0);
  Deno.writeTextFileSync("/tmp/file", "");
  const cases: [path: string, words: RegExp][] = [
    ["/tmp/file", /"\/tmp\/file": it is not a network namespace/],
    ["/proc/self/ns/mnt", /it is not a network namespace/],
  ];
  for (const [netns, words] of cases) assertError(await attachment(deviceId, { netns }).add(), 8, words);
  assertNothingLeft();
});

vmCase("refusal: a state directory that cannot be written, by ADD and by STATUS", async () => {
  const { deviceId } = await addPod();
  await shOk(`mkdir -p ${STATE_DIRECTORY} && mount -t tmpfs -o mode=700,ro tmpfs ${STATE_DIRECTORY}`);
  try {
    assertError(await attachment(deviceId).add(), 5, /Cannot write .*read-only.*must be writable/i);
    const status = await plugin({ command: "STATUS", config: config({ cniVersion: "1.1.0" }) });
    assertError(status, 50, /EROFS \(30\)/);
    assertQuiet(await attachment(deviceId).del());
  } finally {
    await shOk(`umount ${STATE_DIRECTORY}`);
  }
  assertNothingLeft();
});

vmCase("refusal: a full disk: ADD moves nothing, and DEL of an earlier pod works", async () => {
  await addNetns("pod");
  const [before, after] = [vf(0), vf(1)];
  await shOk(`mkdir -p ${STATE_DIRECTORY} && mount -t tmpfs -o mode=700,size=64k tmpfs ${STATE_DIRECTORY}`);
  try {
    assertResult(await attachment(before.deviceId).add());
    await shOk(`! dd if=/dev/zero of=${STATE_DIRECTORY}/.filler bs=4k`);
    const added = await attachment(after.deviceId, { ifname: "net2" }).add();
    assertError(
      added,
      5,
      /Cannot write .*net-container1-net2": ENOSPC \(28\), no space left.*have space left/,
    );
    await assertInPod([before.rdmaDevice]);
    assertEquals(records(), [".filler", "net-container1-net1"]);
    assertQuiet(await attachment(before.deviceId).del());
    assertEquals(records(), [".filler"]);
  } finally {
    await shOk(`umount ${STATE_DIRECTORY}`);
  }
  assertNothingLeft();
});

vmCase("refusal: a state directory turned read-only: DEL restores, and the record goes later", async () => {
  const { deviceId } = await addPod();
  await shOk(`mkdir -p ${STATE_DIRECTORY} && mount -t tmpfs -o mode=700 tmpfs ${STATE_DIRECTORY}`);
  try {
    assertResult(await attachment(deviceId).add());
    await shOk(`mount -o remount,ro ${STATE_DIRECTORY}`);
    const deleted = await attachment(deviceId).del();
    assertQuiet(deleted);
    assertMatch(deleted.stderr, /level="warning".*Cannot remove .*read-only file system/);
    await assertInPod([]);
    assertEquals(records(), ["net-container1-net1"]);
    await shOk(`mount -o remount,rw ${STATE_DIRECTORY}`);
    assertQuiet(await attachment(deviceId).del());
    assertEquals(records(), []);
  } finally {
    await shOk(`umount ${STATE_DIRECTORY}`);
  }
  assertNothingLeft();
});

vmCase("refusal: a result that cannot be printed is rolled back", async () => {
  const { deviceId } = await addPod();
  const added = await attachment(deviceId, { wrapper: ["sh", "-c", 'exec "$0" "$@" >/dev/full'] }).add();
  assertEquals(added.code, 1);
  assertNothingLeft();
});

vmCase("refusal: a node without libmnl, until a copy is put beside the plugin", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const wrapper = WITHOUT_LIBMNL;
  assertError(await attachment(deviceId, { wrapper }).add(), 102, /Cannot open libmnl.*libmnl0/);
  const status = await plugin({ command: "STATUS", config: config({ cniVersion: "1.1.0" }), wrapper });
  assertError(status, 50, /Cannot open libmnl/);
  assertNothingLeft();

  const directory = "/opt/cni/bin/.rdma-cni";
  await shOk(`mkdir -p ${directory} && cp /usr/lib/*/libmnl.so.0 ${directory}/libmnl.so.0`);
  assertResult(await attachment(deviceId, { wrapper }).add());
  await assertInPod([rdmaDevice]);
  await shOk(`rm -r ${directory}`);
});
