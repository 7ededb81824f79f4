// The DaemonSet's containers with the rights that the manifests give them, each of which they need.
import { assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import { attachment, records } from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  assertCode,
  casesWith,
  INSTALLED_PLUGIN,
  installPlugin,
  names,
  netdevToNetns,
  pf,
  rdmaDevices,
  rebind,
  setNetnsMode,
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
} from "../../rig/vm/guest/pod.ts";
import { VERSION } from "../../../src/version.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

const OWN_DIRECTORY = "/opt/cni/bin/.rdma-cni";
const NO_MAC = "00:00:00:00:00:00";
const HOST_MAC = "02:03:00:00:48:53";

let built: Promise<Pod> | undefined;
const builtPod = () => built ??= daemonSetPod(["netns-mode-check", "vf-mac-init"]);

vmCase("daemonset: a pod of its own network, without capabilities, is told the node's mode", async () => {
  const pod = { ...await builtPod(), hostNetwork: false };
  const container = containerOf(pod, "netns-mode-check");
  assertEquals([container.volumeMounts, container.securityContext.capabilities?.add], [
    undefined,
    undefined,
  ]);
  const good = await runContainer(pod, container);
  assertEquals([good.code, good.stdout], [0, "ok: the RDMA namespace mode is exclusive\n"], good.stderr);
  await until("the pod's namespace is gone", async () => {
    return await setNetnsMode("shared").then(() => true, () => false);
  });
  const bad = await runContainer(pod, container);
  assertEquals(
    [bad.code, bad.stdout],
    [1, "failed: the RDMA namespace mode is shared, want exclusive\n"],
    bad.stderr,
  );
});

/** A case on a node without plugin, which has the tests' own again afterwards. */
function installCase(name: string, run: (pod: Pod) => Promise<void>): void {
  const remove = () => shOk(`rm -rf ${OWN_DIRECTORY} ${INSTALLED_PLUGIN}`);
  vmCase(`daemonset: ${name}`, async () => {
    await remove();
    try {
      await run(await builtPod());
    } finally {
      await remove();
      await installPlugin();
    }
  });
}

async function assertInstalled(): Promise<void> {
  assertMatch(await shOk(`${INSTALLED_PLUGIN} --version`), new RegExp(`^rdma-cni ${VERSION}$`, "m"));
}

installCase(
  "in mode shared the plugin is installed all the same, and the check says what is wrong",
  async (pod) => {
    await setNetnsMode("shared");
    const outcomes = await runInitContainers(pod);
    assertEquals(outcomes.map(({ name, code }) => [name, code]), [
      ["install", 0],
      ["vf-mac-init", 0],
      ["netns-mode-check", 1],
    ], JSON.stringify(outcomes));
    assertEquals(outcomes.at(-1)!.stdout, "failed: the RDMA namespace mode is shared, want exclusive\n");
    await assertInstalled();
  },
);

installCase("a function that cannot be given an address does not keep the plugin away", async (pod) => {
  await shOk(`ip link set ${pf().netdev} vf 3 mac ${NO_MAC}`);
  rebind(vf(3).deviceId);
  try {
    const withoutRights = pod.initContainers!.map((container) => ({
      ...container,
      securityContext: { capabilities: {} },
    }));
    const outcomes = await runInitContainers({ ...pod, initContainers: withoutRights });
    assertEquals(outcomes.map(({ name, code }) => [name, code]), [["install", 0], ["vf-mac-init", 1]]);
    await assertInstalled();
  } finally {
    await shOk(`ip link set ${pf().netdev} vf 3 mac ${HOST_MAC}`);
  }
});

/** Removes a module, after those that use it. */
async function removeModule(name: string): Promise<void> {
  for (const user of names(`/sys/module/${name}/holders`)) await removeModule(user);
  if (names(`/sys/module/${name}`).length > 0) await shOk(`rmmod ${name}`);
}

installCase("on a node without RDMA the pod comes up like on any other", async (pod) => {
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
});

installCase(
  "the container that stays sees that another program took the plugin's place, and installs again",
  async (pod) => {
    assertEquals((await runContainer(pod, containerOf(pod, "install"))).code, 0);
    const { livenessProbe, args, ...installed } = { ...containerOf(pod, "installed") };
    assertEquals(args, ["install", "--wait"]);
    const probe = () => runContainer(pod, { ...installed, command: livenessProbe!.exec.command, args: [] });
    const good = await probe();
    assertEquals([good.code, good.stderr], [0, ""], good.stdout);
    await shOk(`cp -f /bin/true ${INSTALLED_PLUGIN}`); // as the Go plugin's installer does
    const bad = await probe();
    assertEquals(
      [bad.code, bad.stdout, bad.stderr],
      [1, "failed: /host/opt/cni/bin/rdma has different content: install again\n", ""],
    );
    const start = await assertCode(0, runContainer(pod, { ...installed, args: ["install"] }));
    assertMatch(start.stderr, /^\/host\/opt\/cni\/bin\/rdma: replaced$/m);
    await assertInstalled();
    assertEquals((await probe()).code, 0);
  },
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

vfMacCase("vf-mac init gives an address with what the manifest gives it", async (pod, container) => {
  const { code, stderr } = await runContainer(pod, container);
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /ready 6, assigned 1, failed 0/);
  const { nodeGuid } = (await rdmaDevices()).find(({ name }) => name === vf(3).rdmaDevice)!;
  assertNotEquals(nodeGuid, "0000:0000:0000:0000");
  const again = await assertCode(0, runContainer(pod, container));
  assertMatch(again.stderr, /ready 7, assigned 0/);
});

/** What a container goes without. */
interface Lack {
  readonly what: string;
  readonly pod?: Partial<Pod>;
  readonly capability?: string;
  readonly volume?: string;
  /** The exit code, a colon, and what is seen besides. */
  readonly outcome: RegExp;
}

/** Runs a container of the pod that lacks something. */
async function runWithout({ pod: changed, capability, volume }: Lack, pod: Pod, container: Container) {
  const volumeMounts = container.volumeMounts!.filter(({ name }) => name !== volume);
  const add = container.securityContext.capabilities!.add!.filter((name) => name !== capability);
  const securityContext = { capabilities: { add } };
  return await runContainer({ ...pod, ...changed }, { ...container, volumeMounts, securityContext });
}

const LACKS: Lack[] = [
  { what: "NET_ADMIN", capability: "NET_ADMIN", outcome: /^1: .*EPERM/s },
  { what: "a writable /sys/bus/pci", volume: "pci", outcome: /^1: .*EROFS/s },
  { what: "the state directory", volume: "state", outcome: /^1: .*"\/var\/lib\/cni/s },
  { what: "the host's network", pod: { hostNetwork: false }, outcome: /^0: ready 0, assigned 0/ },
];

for (const lack of LACKS) {
  vfMacCase(`vf-mac init cannot do without ${lack.what}`, async (pod, container) => {
    const { code, stderr } = await runWithout(lack, pod, container);
    assertMatch(`${code}: ${stderr}`, lack.outcome);
    const { nodeGuid } = (await rdmaDevices()).find(({ name }) => name === vf(3).rdmaDevice)!;
    assertEquals(nodeGuid, "0000:0000:0000:0000");
  });
}

vfMacCase(
  "vf-mac init leaves a function alone that a pod has, though it cannot see the pod",
  async (pod, container) => {
    const { deviceId, netdev, mac, rdmaDevice } = vf(3);
    await addNetns("pod");
    await netdevToNetns(netdev, "pod", "net1");
    await shOk(`ip link set ${pf().netdev} vf 3 mac ${NO_MAC}`); // igb tells the random one as given
    const one = attachment(deviceId);
    assertEquals((await one.add()).code, 0);
    const { code, stderr } = await runContainer(pod, container);
    // It sees neither the pod's namespace nor, therefore, the node GUID: what a pod has is none of its business.
    assertEquals(code, 0, stderr);
    assertMatch(stderr, /\bassigned 0, failed 0/);
    assertEquals(records().length, 1);
    assertMatch(await shOk("ip -n pod -br link show net1"), new RegExp(mac));
    assertMatch(await shOk("nsenter --net=/run/netns/pod rdma dev"), new RegExp(rdmaDevice));
    assertEquals((await one.del()).code, 0);
    await shOk(`ip -n pod link set net1 netns 1 name ${netdev}`);
  },
);
