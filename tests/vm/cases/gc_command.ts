// `rdma-cni gc` after DELs that were lost.
import assert from "node:assert/strict";
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
  until,
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
  assert.deepEqual([dry.code, records()], [0, before], dry.stderr);
  assert.match(dry.stderr, /^net-gone-net1: \/run\/netns\/gone has gone: .* would be restored/m);

  const one = JSON.parse((await rdmaCni("gc --network net --json")).stdout);
  assert.deepEqual(one.records, [
    {
      file: "net-gone-net1",
      deviceID: first.deviceId,
      state: "restored",
      reason: "/run/netns/gone has gone",
    },
  ]);
  assert.deepEqual(one.unexplainedDevices.map(({ name, netns }: Record<string, string>) => [name, netns]), [
    [foreign.rdmaDevice, "/run/netns/living"],
  ]);
  const all = await rdmaCni("gc");
  assert.equal(all.code, 0, all.stderr);
  assert.deepEqual(records(), ["net-held-net1", "net-living-net1"]);
  const onHost = await rdmaNames();
  for (const { rdmaDevice } of [first, second]) assert.ok(onHost.includes(rdmaDevice), rdmaDevice);
  await assertInPod(["rdma_living", foreign.rdmaDevice], "living");
  assert.match(await shOk(`nsenter --net=/proc/${pid}/ns/net rdma dev`), /rdma_held/);
  assert.match((await rdmaCni("gc")).stderr, /No record is stale/);
  for (const call of [living, held]) assertQuiet(await call.del());
});

vmCase(
  "gc: install --wait --gc-interval restores what is stale now and every so often, until SIGTERM",
  async () => {
    const directory = await Deno.makeTempDir();
    const untilRestored = async ({ rdmaDevice }: ReturnType<typeof vf>) => {
      await until("no record is left", () => records().length === 0);
      assert.ok((await rdmaNames()).includes(rdmaDevice), rdmaDevice);
    };
    const [first, second] = [vf(0), vf(1)];
    await addTo("before", first.deviceId);
    await deleteNetns("before");
    const options = `--cni-bin-dir ${directory} --wait --gc-interval 0.02`;
    const installer = await startBackground(
      `exec ${INSTALLED_PLUGIN} install ${options} 2>&1`,
      "rdma: installed\n",
    );
    await untilRestored(first);
    await addTo("after", second.deviceId);
    await deleteNetns("after");
    await untilRestored(second);
    installer.kill("SIGTERM");
    assert.equal((await installer.status).code, 0);
    await Deno.remove(directory, { recursive: true });
  },
);

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
        if (code !== 0) assert.equal(code, 137, stderr);
        const again = await rdmaCni("gc");
        const what = `${name} ${ordinal}: ${again.stderr}`;
        // What a killed holder of the lock leaves goes with the next one.
        const left = records().filter((file) => !file.startsWith("."));
        assert.deepEqual([again.code, left], [0, ["net-living-net1"]], what);
        assert.ok((await rdmaNames()).includes(gone.rdmaDevice), what);
        await assertInPod(["rdma_living"], "living");
        if (code === 0) break;
        tried++;
      }
    }
    assertQuiet(await living.del());
    assert.ok(tried >= 2, `${tried} calls`);
    return { tried };
  },
  20 * 60_000,
);
