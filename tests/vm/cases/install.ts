// `install` on a node whose pods come and go, and on nodes that lack something.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  addPod,
  assertCode,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  casesWith,
  installPlugin,
  names,
  netdevToNetns,
  otherVersion,
  sh,
  shOk,
  withLauncher,
} from "../../rig/vm/guest/harness.ts";
import { LONG } from "../../rig/vm/guest/options.ts";
import { AS_THICK_MULTUS, COMPILED_PLUGIN } from "../../rig/vm/guest/programs.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

const DIRECTORY = "/opt/cni/bin";
/** Each reads 97 MB several times, on an emulated processor. tests/binary always makes 50, on a real one. */
const UPGRADES = LONG ? 50 : 1;

vmCase("install: upgrades while pods come and go, and no call fails", async () => {
  const { deviceId } = await addPod();
  const versions = [await otherVersion("/run/other/rdma-cni"), COMPILED_PLUGIN];
  await shOk(`${COMPILED_PLUGIN} install --cni-bin-dir ${DIRECTORY}`);
  let [upgrading, calls] = [true, 0];
  const upgrade = async () => {
    for (let count = 0; count < UPGRADES; count++) {
      const { stderr } = await assertCode(0, sh(`${versions[count % 2]} install --cni-bin-dir ${DIRECTORY}`));
      assertMatch(stderr, /\/current: replaced$/m);
    }
  };
  const comeAndGo = async () => {
    for (; upgrading; calls += 2) {
      assertResult(await attachment(deviceId).add());
      assertQuiet(await attachment(deviceId).del());
    }
  };
  await Promise.all([upgrade().finally(() => upgrading = false), comeAndGo()]);
  assert(calls >= UPGRADES / 2, `only ${calls} calls were made`);
  assertNothingLeft();
  assertEquals(names(DIRECTORY).filter((name) => /^\.?rdma/.test(name)).sort(), [".rdma-cni", "rdma"]);
  const program = Deno.readLinkSync(`${DIRECTORY}/.rdma-cni/current`);
  assertEquals(names(`${DIRECTORY}/.rdma-cni`).sort(), ["current", "libmnl.so.0", program]);
  await shOk(`rm -r ${DIRECTORY}/.rdma-cni ${DIRECTORY}/rdma /run/other`);
  await installPlugin();
  return { calls };
}, { limitMs: (LONG ? 20 : 3) * 60_000 });

vmCase("install: under thick Multus ADD, CHECK and DEL work by the launcher, and not without", async () => {
  const { deviceId, rdmaDevice, netdev } = await addPod();
  await netdevToNetns(netdev, "pod", "net1");
  const pod = attachment(deviceId, { wrapper: AS_THICK_MULTUS });
  await withLauncher(async () => {
    assertResult(await pod.add());
    await assertInPod([rdmaDevice]);
    assertQuiet(await pod.check());
    assertQuiet(await pod.del());
    assertNothingLeft();
  });
  const without = await pod.add();
  assertEquals([without.code, without.stdout], [1, ""]);
  assertMatch(without.stderr, /No such file or directory/);
  await shOk(`ip -n pod link set net1 netns 1 name ${netdev}`);
});
