// ADD, CHECK and DEL in every version of the specification; what they print and what they leave.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  addPod,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  plugin,
  prevResult,
  rdmaDevices,
  readRecord,
  records,
  shOk,
  STATE_DIRECTORY,
  vf,
} from "../../rig/vm/guest/harness.ts";
import type { OtherSet } from "../../rig/vm/kernels.ts";

/** What the plugin promises runtimes, however it is called. */
export const CONTRACT: { name: string; run: () => Promise<void>; sets: readonly OtherSet[] }[] = [];

/** For other kernels too. */
const EVERYWHERE = ["newest", "middle", "oldest", "arm64"] as const;

function declare(name: string, run: () => Promise<void>, sets: readonly OtherSet[] = []): void {
  CONTRACT.push({ name, run, sets });
}

for (const cniVersion of ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]) {
  declare(`ADD and DEL of ${cniVersion} move the device, and ADD passes the result on`, async () => {
    const { deviceId, rdmaDevice } = await addPod();
    const result = cniVersion < "0.3.0"
      ? { cniVersion, ip4: { ip: "10.0.0.2/24" }, dns: {}, unknown: 18446744073709 }
      : prevResult({ cniVersion });
    const keys = { cniVersion, deviceID: deviceId, prevResult: result };
    const one = attachment(deviceId, { config: config(keys) });
    const added = await one.add();
    assertResult(added);
    assertEquals(added.json, result);
    await assertInPod([rdmaDevice]);

    const checked = await one.check({
      config: config({ ...keys, prevResult: { ...result, interfaces: [] } }),
    });
    if (cniVersion < "0.4.0") assertError(checked, 1, /cniVersion/);
    else assertQuiet(checked);

    assertQuiet(await one.del());
    await assertInPod([]);
    assertNothingLeft();
    assertEquals(vf(0).rdmaDevice, rdmaDevice);
  }, cniVersion === "1.1.0" ? EVERYWHERE : []);
}

declare("cniVersion is added to a result that lacks it", async () => {
  const { deviceId } = await addPod();
  const { cniVersion: _, ...bare } = prevResult();
  const { json } = await attachment(deviceId, {
    config: config({ cniVersion: "0.4.0", deviceID: deviceId, prevResult: bare }),
  }).add();
  assertEquals(json, { cniVersion: "0.4.0", ...bare });
});

declare("the record has the Go plugin's keys, and all that DEL needs, for root alone", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const { index } = (await rdmaDevices()).find(({ name }) => name === rdmaDevice)!;
  await attachment(deviceId).add();
  const record = readRecord("net-container1-net1");
  assertEquals(records(), ["net-container1-net1"]);
  const goKeys = ["version", "deviceID", "sandboxRdmaDevName", "containerRdmaDevName"];
  assertEquals(goKeys.map((key) => record[key]), ["1.1", deviceId, rdmaDevice, rdmaDevice]);
  assertEquals(record["devices"], [{ index, hostName: rdmaDevice, podName: rdmaDevice }]);
  assertEquals((record["netns"] as { inode: number }).inode, Deno.statSync("/run/netns/pod").ino);
  assertEquals(await shOk(`stat -c %a ${STATE_DIRECTORY} ${STATE_DIRECTORY}/*`), "700\n600");
}, EVERYWHERE);

declare("STATUS is quiet on a node that is set up", async () => {
  assertQuiet(await plugin({ command: "STATUS", config: config({ cniVersion: "1.1.0" }) }));
}, EVERYWHERE);

declare("ADD on level debug says what it does, with container, namespace, interface and trace", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const logFile = "/tmp/plugin.log";
  const environment = { TRACEPARENT: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" };
  const { stderr } = await attachment(deviceId, {
    config: config({ deviceID: deviceId, args: { cni: { debug: true } }, logFile }),
    environment,
  }).add();
  const lines = stderr.trimEnd().split("\n");
  assert(lines.some((line) => line.includes('level="debug"')), stderr);
  assert(lines.some((line) => line.includes(`RDMA device ${rdmaDevice}`)), stderr);
  for (const line of lines) {
    assertMatch(
      line,
      /^time=".*" level=".*" msg=".*" containerID="container1" netns="\/run\/netns\/pod" ifname="net1" traceID="4bf92f3577b34da6a3ce929d0e0e4736"$/,
    );
  }
  assertEquals(Deno.readTextFileSync(logFile), stderr);
  Deno.removeSync(logFile);
  const refused = await attachment(deviceId).add({ environment, containerId: "container2" });
  assertError(refused, 111, /; trace 4bf92f3577b34da6a3ce929d0e0e4736$/);
});
