// `install` on a node whose pods come and go, and on nodes that lack something.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  casesWith,
  installPlugin,
  isInMove,
  netdevToNetns,
  otherVersion,
  type Outcome,
  plugin,
  setSimParameter,
  sh,
  shOk,
  startPlugin,
  until,
  vf,
  withLauncher,
} from "../../rig/vm/guest/harness.ts";
import { LONG } from "../../rig/vm/guest/options.ts";
import { AS_THICK_MULTUS, COMPILED_PLUGIN, WITHOUT_LIBMNL } from "../../rig/vm/guest/programs.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

const DIRECTORY = "/opt/cni/bin";
/** Each reads 97 MB several times, on an emulated processor. tests/binary always makes 50, on a real one. */
const UPGRADES = LONG ? 50 : 2;
const UPGRADES_LIMIT_MS = (LONG ? 20 : 3) * 60_000;

vmCase("install: upgrades while pods come and go, and no call fails", async () => {
  await addNetns("pod");
  const { deviceId } = vf(0);
  const versions = [await otherVersion("/run/other/rdma-cni"), COMPILED_PLUGIN];
  await shOk(`${COMPILED_PLUGIN} install --cni-bin-dir ${DIRECTORY}`);
  let [upgrading, calls] = [true, 0];
  const upgrade = async () => {
    for (let count = 0; count < UPGRADES; count++) {
      const { code, stderr } = await sh(`${versions[count % 2]} install --cni-bin-dir ${DIRECTORY}`);
      assertEquals(code, 0, stderr);
      assertMatch(stderr, /\/current: replaced$/m);
    }
  };
  const comeAndGo = async () => {
    for (; upgrading; calls += 2) {
      assertResult(await attachment(deviceId).add());
      assertQuiet(await attachment(deviceId).del());
    }
  };
  const start = performance.now();
  await Promise.all([upgrade().finally(() => upgrading = false), comeAndGo()]);
  const ms = Math.round((performance.now() - start) / UPGRADES);
  assert(calls >= UPGRADES / 2, `only ${calls} calls were made`);
  assertNothingLeft();
  assertEquals(names(), [".rdma-cni", "rdma"]);
  const own = [...Deno.readDirSync(`${DIRECTORY}/.rdma-cni`)].map(({ name }) => name).sort();
  assertEquals(own, ["current", "libmnl.so.0", Deno.readLinkSync(`${DIRECTORY}/.rdma-cni/current`)]);
  await restoreCopy();
  await shOk("rm -r /run/other");
  return { calls, msForAnUpgrade: ms };
}, { limitMs: UPGRADES_LIMIT_MS });

vmCase("install: a node without libmnl works when the plugin was installed", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = vf(0);
  const wrapper = WITHOUT_LIBMNL;
  assertError(await attachment(deviceId, { wrapper }).add(), 102, /Cannot open libmnl/);
  await shOk(`${COMPILED_PLUGIN} install --cni-bin-dir ${DIRECTORY}`);
  assertResult(await attachment(deviceId, { wrapper }).add());
  await assertInPod([rdmaDevice]);
  assertQuiet(await attachment(deviceId, { wrapper }).del());
  assertNothingLeft();
  await restoreCopy();
});

vmCase("install: a copy by hand finds a libmnl that was copied by hand", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = vf(0);
  const wrapper = WITHOUT_LIBMNL;
  await shOk(`install -D -m 644 /usr/lib/*/libmnl.so.0 ${DIRECTORY}/.rdma-cni/libmnl.so.0`);
  assertResult(await attachment(deviceId, { wrapper }).add());
  await assertInPod([rdmaDevice]);
  assertQuiet(await attachment(deviceId, { wrapper }).del());
  assertNothingLeft();
  await shOk(`rm -r ${DIRECTORY}/.rdma-cni`);
});

vmCase("install: under thick Multus ADD, CHECK and DEL work by the launcher, and not without", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice, netdev } = vf(0);
  await netdevToNetns(netdev, "pod", "net1");
  const pod = attachment(deviceId, { wrapper: AS_THICK_MULTUS });
  await withLauncher(async () => {
    assertResult(await pod.add());
    await assertInPod([rdmaDevice]);
    assertQuiet(await pod.check());
    assertQuiet(await pod.del());
    assertNothingLeft();
  });
  const call = { command: "ADD", netns: "pod", config: config({ deviceID: deviceId }) };
  const without = await plugin({ ...call, wrapper: AS_THICK_MULTUS });
  assertEquals([without.code, without.stdout], [1, ""]);
  assertMatch(without.stderr, /No such file or directory/);
  await shOk(`ip -n pod link set net1 netns 1 name ${netdev}`);
});

vmCase(
  "install: SIGTERM and SIGKILL sent to what the runtime started end the call in its move, and DEL cleans up",
  async () => {
    await addNetns("pod");
    const { deviceId } = vf(0);
    await withLauncher(async () => {
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        setSimParameter("move_delay_ms", "2000");
        const call = await startPlugin({
          command: "ADD",
          netns: "pod",
          config: config({ deviceID: deviceId }),
        });
        await until("it is moving", () => isInMove(call.pid));
        call.kill(signal);
        assertEquals((await call.status).signal, signal);
        setSimParameter("move_delay_ms", "0");
        assertQuiet(await attachment(deviceId).del());
        assertNothingLeft();
      }
    });
  },
);

vmCase("install: --uninstall waits for the pods' DEL, unless it is forced", async () => {
  await addNetns("pod");
  const { deviceId } = vf(0);
  await shOk("mkdir /run/bin");
  const install = (option: string) => sh(`${COMPILED_PLUGIN} install --cni-bin-dir /run/bin ${option}`);
  assertCode(await install(""), 0, /rdma: installed$/m);
  assertResult(await attachment(deviceId).add());
  assertCode(await install("--uninstall"), 1, /has the record .*: net-container1-net1\nDrain the node/);
  assertCode(await install("--uninstall --force"), 0, /rdma: removed$/m);
  assertCode(await install(""), 0, /rdma: installed$/m);
  assertQuiet(await attachment(deviceId).del());
  assertCode(await install("--uninstall"), 0, /rdma: removed$/m);
  await shOk("rmdir /run/bin");
  assertNothingLeft();
});

/** Brings back what cases begin with: a copy by hand. */
async function restoreCopy(): Promise<void> {
  await shOk(`rm -r ${DIRECTORY}/.rdma-cni ${DIRECTORY}/rdma`);
  await installPlugin();
}

function assertCode({ code, stderr }: Outcome, want: number, words: RegExp): void {
  assertEquals(code, want, stderr);
  assertMatch(stderr, words);
}

/** The plugin and what belongs to it, with what installers may have left. */
function names(): string[] {
  return [...Deno.readDirSync(DIRECTORY)].map(({ name }) => name).filter((name) => /^\.?rdma/.test(name))
    .sort();
}
