// `install` on a node whose pods come and go, and on nodes that lack something.
import assert from "node:assert/strict";
import {
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
} from "../guest/attachment.ts";
import { addNetns, type Outcome, sh, shOk, vf, vmCase } from "../guest/harness.ts";
import { COMPILED_PLUGIN, WITHOUT_LIBMNL } from "../guest/programs.ts";

const FOLDER = "/opt/cni/bin";
/** tests/binary makes 50, on a real processor. */
const UPGRADES = 5;

/** Each reads 97 MB several times, on an emulated processor. */
const UPGRADES_LIMIT_MS = 3 * 60_000;

vmCase("install: upgrades while pods come and go, and no call fails", async () => {
  await addNetns("pod");
  const { deviceId } = vf(0);
  const versions = [await otherVersion("/run/other/rdma-cni"), COMPILED_PLUGIN];
  let [upgrading, calls] = [true, 0];
  const upgrade = async () => {
    for (let count = 0; count < UPGRADES; count++) {
      const { code, stderr } = await sh(`${versions[count % 2]} install --cni-bin-dir ${FOLDER}`);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /rdma: replaced$/m);
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
  assert.ok(calls >= UPGRADES / 2, `only ${calls} calls were made`);
  assertNothingLeft();
  assert.deepEqual(names(), [".rdma-cni", "rdma"]);
  await shOk(`rm -r ${FOLDER}/.rdma-cni /run/other`);
  return { calls, msForAnUpgrade: ms };
}, UPGRADES_LIMIT_MS);

vmCase("install: a node without libmnl works when the plugin was installed", async () => {
  await addNetns("pod");
  const { deviceId, rdmaDevice } = vf(0);
  const wrapper = WITHOUT_LIBMNL;
  assertError(await attachment(deviceId, { wrapper }).add(), 102, /Cannot open libmnl/);
  await shOk(`${COMPILED_PLUGIN} install --cni-bin-dir ${FOLDER}`);
  assertResult(await attachment(deviceId, { wrapper }).add());
  await assertInPod([rdmaDevice]);
  assertQuiet(await attachment(deviceId, { wrapper }).del());
  assertNothingLeft();
  await shOk(`rm -r ${FOLDER}/.rdma-cni`);
});

vmCase("install: --uninstall waits for the pods' DEL, unless it is forced", async () => {
  await addNetns("pod");
  const { deviceId } = vf(0);
  await shOk("mkdir /run/bin");
  const install = (option: string) => sh(`${COMPILED_PLUGIN} install --cni-bin-dir /run/bin ${option}`);
  assertCode(await install(""), 0, /rdma: installed$/m);
  assertResult(await attachment(deviceId).add());
  assertCode(await install("--uninstall"), 1, /has 1 records .*: net-container1-net1\nDrain the node/);
  assertCode(await install("--uninstall --force"), 0, /rdma: removed$/m);
  assertCode(await install(""), 0, /rdma: installed$/m);
  assertQuiet(await attachment(deviceId).del());
  assertCode(await install("--uninstall"), 0, /rdma: removed$/m);
  await shOk("rmdir /run/bin");
  assertNothingLeft();
});

function assertCode({ code, stderr }: Outcome, want: number, words: RegExp): void {
  assert.equal(code, want, stderr);
  assert.match(stderr, words);
}

/** A copy of the plugin that differs by a byte of its ELF header which nobody reads (EI_PAD). */
async function otherVersion(path: string): Promise<string> {
  await shOk(`mkdir -p ${path.replace(/\/[^/]*$/, "")} && cp ${COMPILED_PLUGIN} ${path}`);
  await shOk(`printf x | dd of=${path} bs=1 seek=12 conv=notrunc`);
  return path;
}

/** The plugin and what belongs to it, with what installers may have left. */
function names(): string[] {
  return [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) => /^\.?rdma/.test(name)).sort();
}
