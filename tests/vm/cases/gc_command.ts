// `rdma-cni gc` after DELs that were lost.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  assertInPod,
  assertQuiet,
  assertResult,
  attachment,
  config,
  records,
} from "../../rig/vm/guest/attachment.ts";
import { rdmaCni } from "../../rig/vm/guest/command.ts";
import {
  addNetns,
  deleteNetns,
  holdNetns,
  INSTALLED_PLUGIN,
  rdmaNames,
  rdmaToNetns,
  sh,
  shOk,
  startBackground,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { killAtNth } from "../../rig/vm/guest/injection.ts";
import { LONG } from "../../rig/vm/guest/options.ts";

/** Adds a virtual function to a pod, as a network's, under a name of its own there. */
async function addTo(netns: string, deviceId: string, name = "net"): Promise<ReturnType<typeof attachment>> {
  await addNetns(netns);
  const call = attachment(deviceId, {
    netns,
    containerId: netns,
    config: config({ name, deviceID: deviceId, rdmaDeviceName: `rdma_${netns}` }),
  });
  assertResult(await call.add());
  return call;
}

vmCase("gc: what pods that are gone have left is restored, and pods that live are not touched", async () => {
  const [first, second, third, fourth, foreign] = [vf(0), vf(1), vf(2), vf(3), vf(4)];
  await addTo("gone", first.deviceId);
  await addTo("other", second.deviceId, "net-2");
  const living = await addTo("living", third.deviceId);
  const held = await addTo("held", fourth.deviceId);
  await rdmaToNetns(foreign.rdmaDevice, "living");
  await deleteNetns("gone");
  await deleteNetns("other");
  const { pid } = await holdNetns("held");
  await shOk("ip netns del held");

  const before = records();
  const dry = await rdmaCni("gc --dry-run");
  assertEquals([dry.code, records()], [0, before], dry.stderr);
  assertMatch(
    dry.stdout,
    /^net-gone-net1: \/run\/netns\/gone has gone: the record of \S+ would be removed/m,
  );

  const one = JSON.parse((await rdmaCni("gc --network net --json")).stdout);
  assertEquals(one.records, [
    {
      file: "net-gone-net1",
      deviceID: first.deviceId,
      state: "restored",
      reason: "/run/netns/gone has gone",
    },
  ]);
  assertEquals(one.unexplainedDevices.map(({ name, netns }: Record<string, string>) => [name, netns]), [
    [foreign.rdmaDevice, "/run/netns/living"],
  ]);
  const all = await rdmaCni("gc");
  assertEquals(all.code, 0, all.stderr);
  assertEquals(records(), ["net-held-net1", "net-living-net1"]);
  const onHost = await rdmaNames();
  for (const { rdmaDevice } of [first, second]) assert(onHost.includes(rdmaDevice), rdmaDevice);
  await assertInPod(["rdma_living", foreign.rdmaDevice], "living");
  assertMatch(await shOk(`nsenter --net=/proc/${pid}/ns/net rdma dev`), /rdma_held/);
  assertMatch((await rdmaCni("gc")).stderr, /No record is stale/);
  for (const call of [living, held]) assertQuiet(await call.del());
});

/** A process that hands the namespace it is in to a child and ends, again and again. */
const RELAY = "/run/relay";

vmCase(
  "gc: beside pods and metrics at short intervals it leaves living pods alone to which only processes lead",
  async () => {
    await Deno.writeTextFile(RELAY, `#!/bin/sh\nsleep 0.1\n${RELAY} </dev/null >/dev/null 2>&1 &\n`);
    await shOk(`chmod 755 ${RELAY}`);
    const pods = ["steady", "relayed"];
    const calls = [];
    for (const [number, name] of pods.entries()) calls.push(await addTo(name, vf(number).deviceId));
    const { pid } = await holdNetns("steady");
    await shOk(`nsenter --net=/run/netns/relayed ${RELAY}`);
    for (const name of pods) await shOk(`ip netns del ${name}`);
    const files = records();
    // The one that hops into pods' namespaces comes first, so it has the lower PID.
    const metrics = await startBackground(
      `exec ${INSTALLED_PLUGIN} pods -o prometheus --watch 0.1`,
      "rdma_read_errors 0",
    );
    const collector = await startBackground(
      `while :; do ${INSTALLED_PLUGIN} gc --json 2>&1; sleep 0.1; done`,
      '"records"',
    );
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    for (const one of [collector, metrics]) {
      one.kill("SIGTERM");
      await one.status;
    }
    assertEquals(records(), files);
    const held = JSON.parse((await rdmaCni("pods --json")).stdout);
    assertEquals(
      held.map(({ device, state }: Record<string, string>) => [device, state]),
      [["rdma_relayed", "held"], ["rdma_steady", "held"]],
    );
    assertMatch(await shOk(`nsenter --net=/proc/${pid}/ns/net rdma dev`), /rdma_steady/);
    await shOk(`rm ${RELAY}`); // which ends the last of them
    for (const call of calls) assertQuiet(await call.del());
  },
  { limitMs: 5 * 60_000 },
);

vmCase(
  "gc: the device of a pod that is gone stays where it is, and gc says where, until it is on the host",
  async () => {
    const { deviceId, rdmaDevice } = vf(0);
    await addTo("gone", deviceId);
    await addNetns("other");
    await shOk("nsenter --net=/run/netns/gone rdma dev set rdma_gone netns other");
    await deleteNetns("gone");
    const kept = await rdmaCni("gc");
    assertEquals(kept.code, 1, kept.stderr);
    assertMatch(
      kept.stderr,
      /^net-gone-net1: .*, and rdma_gone of \S+ is in \/run\/netns\/other: the record stays$/m,
    );
    await assertInPod(["rdma_gone"], "other");
    await deleteNetns("other");
    assertEquals((await rdmaCni("gc")).code, 0);
    assert((await rdmaNames()).includes(rdmaDevice));
    assertEquals(records(), []);
  },
);

vmCase("gc: where procfs hides processes it refuses, and does nothing", async () => {
  await addTo("gone", vf(0).deviceId);
  await deleteNetns("gone");
  const without = "setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace";
  try {
    await shOk("mount -o remount,hidepid=2,gid=7 /proc");
    const { code, stderr } = await sh(`${without} ${INSTALLED_PLUGIN} gc`);
    assertEquals([code, records()], [1, ["net-gone-net1"]], stderr);
    assertMatch(stderr, /not all processes of this machine can be seen/);
    assertEquals((await rdmaCni("gc --dry-run")).code, 0);
  } finally {
    await shOk("mount -o remount,hidepid=0,gid=0 /proc");
  }
  assertEquals((await rdmaCni("gc")).code, 0);
  assertEquals(records(), []);
});

vmCase(
  "faults: gc is killed at a system call that changes something: the next gc makes it good",
  async () => {
    const [gone, other] = [vf(0), vf(1)];
    const living = await addTo("living", other.deviceId);
    let tried = 0;
    for (const name of LONG ? ["flock", "sendto", "rename", "unlink"] : ["unlink"]) {
      for (let ordinal = 1;; ordinal++) {
        await addTo("gone", gone.deviceId);
        await deleteNetns("gone");
        const { code, stderr } = await sh(
          `exec ${killAtNth(name, ordinal).join(" ")} ${INSTALLED_PLUGIN} gc`,
        );
        if (code !== 0) assertEquals(code, 137, stderr);
        const again = await rdmaCni("gc");
        const what = `${name} ${ordinal}: ${again.stderr}`;
        // What a killed holder of the lock leaves goes with the next one.
        const left = records().filter((file) => !file.startsWith("."));
        assertEquals([again.code, left], [0, ["net-living-net1"]], what);
        assert((await rdmaNames()).includes(gone.rdmaDevice), what);
        await assertInPod(["rdma_living"], "living");
        if (code === 0) break;
        tried++;
      }
    }
    assertQuiet(await living.del());
    assert(tried >= 2, `${tried} calls`);
    return { tried };
  },
  { limitMs: 20 * 60_000 },
);
