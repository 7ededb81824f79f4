// The DaemonSet's containers with the rights that the manifests give them, each of which they need.
import { assert, assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import {
  addNetns,
  assertCode,
  assertInPod,
  assertQuiet,
  assertResult,
  attachment,
  casesWith,
  config,
  deleteNetns,
  INSTALLED_PLUGIN,
  installPlugin,
  names,
  netdevToNetns,
  pf,
  rdmaDevices,
  rdmaNames,
  rebind,
  records,
  setNetnsMode,
  sh,
  shOk,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";
import {
  type Container,
  containerOf,
  daemonSetPod,
  type Pod,
  runContainer,
  runInitContainers,
  startContainer,
} from "../../rig/vm/guest/pod.ts";
import { VERSION } from "../../../src/version.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

const NO_MAC = "00:00:00:00:00:00";
const HOST_MAC = "02:03:00:00:48:53";
const NO_GUID = "0000:0000:0000:0000";

let built: Promise<Pod> | undefined;
const builtPod = () => built ??= daemonSetPod(["netns-mode-check", "vf-mac-init"]);

vmCase("daemonset: a pod of its own network, without capabilities, is told the node's mode", async () => {
  const pod = { ...await builtPod(), hostNetwork: false };
  const container = containerOf(pod, "netns-mode-check");
  const { volumeMounts, securityContext } = container;
  assertEquals([volumeMounts, securityContext.capabilities?.add], [undefined, undefined]);
  const good = await assertCode(0, runContainer(pod, container));
  assertEquals(good.stdout, "ok: the RDMA namespace mode is exclusive\n");
  await until("the pod's namespace is gone", async () => {
    return await setNetnsMode("shared").then(() => true, () => false);
  });
  const bad = await assertCode(1, runContainer(pod, container));
  assertEquals(bad.stdout, "failed: the RDMA namespace mode is shared, want exclusive\n");
});

/** Does something on a node without plugin, which has the tests' own again afterwards. */
async function withoutPlugin(run: () => Promise<void>): Promise<void> {
  const remove = () => shOk(`rm -rf /opt/cni/bin/.rdma-cni ${INSTALLED_PLUGIN}`);
  await remove();
  try {
    await run();
  } finally {
    await remove();
    await installPlugin();
  }
}

const probing = (container: Container, command: string[]) => ({ ...container, command, args: [] });

/** Removes a module, after those that use it. */
async function removeModule(name: string): Promise<void> {
  for (const user of names(`/sys/module/${name}/holders`)) await removeModule(user);
  if (names(`/sys/module/${name}`).length > 0) await shOk(`rmmod ${name}`);
}

vmCase(
  "daemonset: without RDMA the pod comes up, and sees when its plugin was replaced",
  () =>
    withoutPlugin(async () => {
      const pod = await builtPod();
      const assertInstalled = async () =>
        assertMatch(await shOk(`${INSTALLED_PLUGIN} --version`), new RegExp(`^rdma-cni ${VERSION}$`, "m"));
      try {
        await removeModule("ib_core");
        const outcomes = await runInitContainers(pod);
        assertEquals(
          outcomes.map(({ name, code }) => [name, code]),
          [["install", 0], ["vf-mac-init", 0], ["netns-mode-check", 0]],
          JSON.stringify(outcomes),
        );
        assertMatch(outcomes.at(-1)!.stdout, /^ok: this kernel has no RDMA subsystem/);
        await assertInstalled();
      } finally {
        await shOk('modprobe --dirname "$MODULES" --all rdma_sim ib_uverbs rdma_ucm');
      }
      const { livenessProbe, args, ...installed } = { ...containerOf(pod, "installed") };
      assertEquals(args, ["install", "--wait"]);
      const probe = probing({ ...installed, args }, livenessProbe!.exec.command);
      await assertCode(0, runContainer(pod, probe));
      await shOk(`cp -f /bin/true ${INSTALLED_PLUGIN}`); // as the Go plugin's installer does
      const bad = await assertCode(1, runContainer(pod, probe));
      assertEquals(bad.stdout, "failed: /host/opt/cni/bin/rdma has different content: install again\n");
      const start = await assertCode(0, runContainer(pod, { ...installed, args: ["install"] }));
      assertMatch(start.stderr, /^\/host\/opt\/cni\/bin\/rdma: replaced$/m);
      await assertInstalled();
      await assertCode(0, runContainer(pod, probe));
    }),
);

/** A case on a node whose VF 3 has no address. */
function vfMacCase(name: string, run: (pod: Pod, container: Container) => Promise<void>): void {
  vmCase(`daemonset: ${name}`, async () => {
    const { netdev } = pf();
    await shOk(`ip link set ${netdev} vf 3 mac ${NO_MAC}`);
    rebind(vf(3).deviceId);
    try {
      const pod = await builtPod();
      await run(pod, containerOf(pod, "vf-mac-init"));
    } finally {
      await shOk(`ip link set ${netdev} vf 3 mac ${HOST_MAC}`);
    }
  });
}

/** What a container goes without. */
interface Lack {
  readonly pod?: Partial<Pod>;
  readonly capability?: string;
  readonly volume?: string;
  /** The exit code, a colon, and what is seen besides. */
  readonly outcome: RegExp;
}

const LACKS: Lack[] = [
  { capability: "NET_ADMIN", outcome: /^1: .*EPERM/s },
  { volume: "pci", outcome: /^1: .*EROFS/s },
  { volume: "state", outcome: /^1: .*"\/var\/lib\/cni/s },
  { pod: { hostNetwork: false }, outcome: /^0: ready 0, assigned 0/ },
];

vfMacCase("vf-mac init gives an address with what it is given, and no less", async (pod, container) => {
  const nodeGuid = async () => (await rdmaDevices()).find(({ name }) => name === vf(3).rdmaDevice)!.nodeGuid;
  for (const { pod: changed, capability, volume, outcome } of LACKS) {
    const volumeMounts = container.volumeMounts!.filter(({ name }) => name !== volume);
    const add = container.securityContext.capabilities!.add!.filter((name) => name !== capability);
    const lacking = { ...container, volumeMounts, securityContext: { capabilities: { add } } };
    const { code, stderr } = await runContainer({ ...pod, ...changed }, lacking);
    assertMatch(`${code}: ${stderr}`, outcome);
    assertEquals(await nodeGuid(), NO_GUID, `${outcome}`);
  }
  const given = await assertCode(0, runContainer(pod, container));
  assertMatch(given.stderr, /ready 6, assigned 1, failed 0/);
  assertNotEquals(await nodeGuid(), NO_GUID);
  const again = await assertCode(0, runContainer(pod, container));
  assertMatch(again.stderr, /ready 7, assigned 0/);
});

vfMacCase("vf-mac init leaves a function alone that a pod has, unseen by it", async (pod, container) => {
  const { deviceId, netdev, mac, rdmaDevice } = vf(3);
  await addNetns("pod");
  await netdevToNetns(netdev, "pod", "net1");
  await shOk(`ip link set ${pf().netdev} vf 3 mac ${NO_MAC}`); // igb tells the random one as given
  const one = attachment(deviceId);
  assertResult(await one.add());
  // It sees neither the pod's namespace nor, therefore, the node GUID: what a pod has is none of its business.
  const { stderr } = await assertCode(0, runContainer(pod, container));
  assertMatch(stderr, /\bassigned 0, failed 0/);
  assertEquals(records().length, 1);
  assertMatch(await shOk("ip -n pod -br link show net1"), new RegExp(mac));
  await assertInPod([rdmaDevice]);
  assertQuiet(await one.del());
  await shOk(`ip -n pod link set net1 netns 1 name ${netdev}`);
});

/** Adds a virtual function to a pod that is called as its namespace. */
async function addTo(netns: string, number: number) {
  const { deviceId: deviceID } = vf(number);
  await addNetns(netns);
  const keys = { deviceID, rdmaDeviceName: `rdma_${netns}` };
  const call = attachment(deviceID, { netns, containerId: netns, config: config(keys) });
  assertResult(await call.add());
  return call;
}

/** The file of a namespace of a process. */
function namespaceOf(process: string | number, kind: string): string {
  return Deno.readLinkSync(`/proc/${process}/ns/${kind}`);
}

vmCase("daemonset: the agent installs, enters the node, answers calls and cleans up", async () => {
  await addTo("gone", 0);
  await deleteNetns("gone");
  await withoutPlugin(async () => {
    const pod = await daemonSetPod(["agent"]);
    const container = containerOf(pod, "agent");
    const probe = probing(container, container.readinessProbe!.exec.command);
    const { stderr } = await assertCode(1, runContainer({ ...pod, hostPID: false }, container));
    assertMatch(stderr, /hostPID: true/);

    const args = [...container.args, "--metrics", "[127.0.0.1]:9567"];
    const agent = await startContainer(pod, { ...container, args }, "serves on");
    await assertCode(0, runContainer(pod, probe));
    await until("what the lost DEL has left is gone", () => records().length === 0);
    assert((await rdmaNames()).includes(vf(0).rdmaDevice));

    const state = async () => JSON.parse(await shOk(`${INSTALLED_PLUGIN} agent --check --json`));
    const { pid } = await state();
    for (const kind of ["mnt", "net", "pid"]) assertEquals(namespaceOf(pid, kind), namespaceOf(1, kind));
    assertMatch(Deno.readLinkSync(`/proc/${pid}/exe`), /^\/opt\/cni\/bin\/\.rdma-cni\/rdma-cni-/);

    const living = await addTo("living", 1);
    await assertInPod(["rdma_living"], "living");
    const metrics = await (await fetch("http://127.0.0.1:9567/metrics")).text();
    assertMatch(metrics, /^rdma_port_receive_bytes_total\{.*device="rdma_living".*\} \d+$/m);
    assertQuiet(await living.del());
    assertEquals((await state()).calls, 2);

    Deno.kill(pid, "SIGTERM");
    assertEquals((await agent.status).code, 0);
    await assertCode(1, sh(`${INSTALLED_PLUGIN} agent --check`));
  });
});
