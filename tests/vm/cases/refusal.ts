// What the plugin refuses: each with its code, a message that says what to do, and nothing left behind.
import assert from "node:assert/strict";
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
import {
  addNetns,
  plugin,
  rebind,
  setNetnsMode,
  setSimParameter,
  shOk,
  vf,
  vfs,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { WITHOUT_LIBMNL } from "../../rig/vm/guest/programs.ts";

vmCase("refusal: shared mode, by ADD and by STATUS, naming the command that fixes it", async () => {
  const { deviceId } = vf(0);
  await setNetnsMode("shared");
  await addNetns("pod");
  assertError(await attachment(deviceId).add(), 101, /mode shared, want exclusive.*netns-mode set exclusive/);
  assertError(
    await plugin({ command: "STATUS", config: config({ cniVersion: "1.1.0" }) }),
    50,
    /mode shared.*netns-mode set exclusive/,
  );
  assertError(await attachment(deviceId).check(), 101, /mode shared/);
  assertQuiet(await attachment(deviceId).del());
  assertNothingLeft();
});

vmCase("refusal: a device whose driver cannot let go", async () => {
  const { deviceId } = vf(0);
  setSimParameter("immovable", 1);
  rebind(deviceId);
  await addNetns("pod");
  assertError(
    await attachment(deviceId).add(),
    120,
    /cannot take it away.*disassociate_ucontext.*EOPNOTSUPP \(95\)/,
  );
  assertNothingLeft();
  assertQuiet(await attachment(deviceId).del());
});

vmCase("refusal: of two devices the second cannot let go, so the first returns to the host", async () => {
  const { deviceId } = vf(0);
  setSimParameter("devices_per_function", 2);
  setSimParameter("immovable", 2);
  rebind(deviceId);
  await addNetns("pod");
  assertError(await attachment(deviceId).add(), 120, /cannot take it away/);
  await assertInPod([]);
  assertNothingLeft();
  assert.equal(vfs()[0]!.rdmaDevices.length, 2);
});

vmCase("refusal: a namespace that is missing, is none, or is the plugin's own", async () => {
  const { deviceId } = vf(0);
  Deno.writeTextFileSync("/tmp/file", "");
  const cases: [path: string, words: RegExp][] = [
    ["/run/netns/absent", /"\/run\/netns\/absent": it does not exist/],
    ["/tmp/file", /"\/tmp\/file": it is not a network namespace/],
    ["/proc/self/ns/mnt", /it is not a network namespace/],
    ["/proc/1/ns/net", /is the plugin's own network namespace/],
  ];
  for (const [netns, words] of cases) assertError(await attachment(deviceId, { netns }).add(), 8, words);
  assertNothingLeft();
});

vmCase("refusal: an ADD that is not chained", async () => {
  await addNetns("pod");
  const { deviceId } = vf(0);
  const added = await attachment(deviceId, { config: config({ deviceID: deviceId, prevResult: undefined }) })
    .add();
  assertError(added, 7, /no prevResult.*after one such as "sriov"/);
  assertNothingLeft();
});

vmCase("refusal: a function that another live pod has, naming the holder", async () => {
  await addNetns("pod");
  await addNetns("second");
  const { deviceId, rdmaDevice } = vf(0);
  assertResult(await attachment(deviceId).add());
  const second = attachment(deviceId, { netns: "second", containerId: "container2" });
  assertError(
    await second.add(),
    111,
    /container "container1" has it as "net1" on network "net", in \/run\/netns\/pod/,
  );
  await assertInPod([rdmaDevice]);
  assertQuiet(await second.del());
  await assertInPod([rdmaDevice]);
  assert.deepEqual(records(), ["net-container1-net1"]);
});

vmCase("refusal: a function that the same pod has as another interface", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = vf(0);
  assertResult(await attachment(deviceId).add());
  assertError(
    await attachment(deviceId, { ifname: "net2" }).add(),
    111,
    /container "container1" has it as "net1"/,
  );
  assertQuiet(await attachment(deviceId, { ifname: "net2" }).del());
  await assertInPod([rdmaDevice]);
});

vmCase("refusal: a state directory that cannot be written, by ADD and by STATUS", async () => {
  await addNetns("pod");
  const { deviceId } = vf(0);
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
    assertError(added, 5, /Cannot write .*net-container1-net2": No space left.*have space left/);
    await assertInPod([before.rdmaDevice]);
    assert.deepEqual(records(), [".filler", "net-container1-net1"]);
    assertQuiet(await attachment(before.deviceId).del());
    assert.deepEqual(records(), [".filler"]);
  } finally {
    await shOk(`umount ${STATE_DIRECTORY}`);
  }
  assertNothingLeft();
});

vmCase(
  "refusal: a state directory that became read-only: DEL restores the device, and the record goes later",
  async () => {
    await addNetns("pod");
    const { deviceId } = vf(0);
    await shOk(`mkdir -p ${STATE_DIRECTORY} && mount -t tmpfs -o mode=700 tmpfs ${STATE_DIRECTORY}`);
    try {
      assertResult(await attachment(deviceId).add());
      await shOk(`mount -o remount,ro ${STATE_DIRECTORY}`);
      const deleted = await attachment(deviceId).del();
      assertQuiet(deleted);
      assert.match(deleted.stderr, /level="warning".*Cannot remove .*Read-only file system/);
      await assertInPod([]);
      assert.deepEqual(records(), ["net-container1-net1"]);
      await shOk(`mount -o remount,rw ${STATE_DIRECTORY}`);
      assertQuiet(await attachment(deviceId).del());
      assert.deepEqual(records(), []);
    } finally {
      await shOk(`umount ${STATE_DIRECTORY}`);
    }
    assertNothingLeft();
  },
);

vmCase("refusal: a result that cannot be printed is rolled back", async () => {
  await addNetns("pod");
  const { deviceId } = vf(0);
  const added = await attachment(deviceId, { wrapper: ["sh", "-c", 'exec "$0" "$@" >/dev/full'] }).add();
  assert.equal(added.code, 1);
  assertNothingLeft();
});

vmCase("refusal: a node without libmnl, until a copy is put beside the plugin", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = vf(0);
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
