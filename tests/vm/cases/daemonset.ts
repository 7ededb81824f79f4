// The DaemonSet's containers with the rights that the manifests give them, each of which they need.
import assert from "node:assert/strict";
import { attachment, records } from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  INSTALLED_PLUGIN,
  installPlugin,
  netdevToNetns,
  pf,
  rdmaDevices,
  rebind,
  setNetnsMode,
  shOk,
  until,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { type Container, containerOf, daemonSetPod, type Pod, runContainer } from "../../rig/vm/guest/pod.ts";

const OWN_DIRECTORY = "/opt/cni/bin/.rdma-cni";
const NO_MAC = "00:00:00:00:00:00";
const HOST_MAC = "02:03:00:00:48:53";

let built: Promise<Pod> | undefined;
const builtPod = () => built ??= daemonSetPod("examples/cluster");

vmCase("daemonset: a pod of its own network, without capabilities, is told the node's mode", async () => {
  const pod = { ...await builtPod(), hostNetwork: false };
  const container = containerOf(pod, "netns-mode-check");
  assert.deepEqual([container.volumeMounts, container.securityContext.capabilities.add], [
    undefined,
    undefined,
  ]);
  const good = await runContainer(pod, container);
  assert.deepEqual([good.code, good.stdout], [0, "ok: the RDMA namespace mode is exclusive\n"], good.stderr);
  await until("the pod's namespace is gone", async () => {
    return await setNetnsMode("shared").then(() => true, () => false);
  });
  const bad = await runContainer(pod, container);
  assert.deepEqual(
    [bad.code, bad.stdout],
    [1, "failed: the RDMA namespace mode is shared, want exclusive\n"],
    bad.stderr,
  );
});

vmCase("daemonset: install and its probes need no capability, and the probes see what is there", async () => {
  const pod = { ...await builtPod(), hostNetwork: false };
  const { readinessProbe, livenessProbe, ...installed } = containerOf(pod, "installed");
  const codesOfProbes = () =>
    Promise.all([readinessProbe, livenessProbe].map(async (probe) => {
      const { code, stderr } = await runContainer(pod, {
        ...installed,
        command: probe!.exec.command,
        args: [],
      });
      assert.equal(stderr, "");
      return code;
    }));
  assert.deepEqual(await codesOfProbes(), [1, 1], "a copy by hand");
  try {
    const { code, stderr } = await runContainer(pod, containerOf(pod, "install"));
    assert.equal(code, 0, stderr);
    await shOk(`test -x ${INSTALLED_PLUGIN} && test -f ${OWN_DIRECTORY}/libmnl.so.0`);
    assert.deepEqual(await codesOfProbes(), [0, 0], "installed");
    await shOk(`cp -f /bin/true ${INSTALLED_PLUGIN}`); // as the Go plugin's installer does
    assert.deepEqual(await codesOfProbes(), [1, 1], "another program");
  } finally {
    await shOk(`rm -rf ${OWN_DIRECTORY} ${INSTALLED_PLUGIN}`);
    await installPlugin();
  }
});

vmCase("daemonset: what stays on the node cannot change the node's directory", async () => {
  const pod = { ...await builtPod(), hostNetwork: false };
  const args = ["install", "--uninstall"];
  const { code, stderr } = await runContainer(pod, { ...containerOf(pod, "installed"), args });
  assert.equal(code, 1);
  assert.match(stderr, /read-only|EROFS/i);
  await shOk(`test -x ${INSTALLED_PLUGIN}`);
});

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
  assert.equal(code, 0, stderr);
  assert.match(stderr, /6 were ready, 1 were given an address, 0 could not be/);
  const { nodeGuid } = (await rdmaDevices()).find(({ name }) => name === vf(3).rdmaDevice)!;
  assert.notEqual(nodeGuid, "0000:0000:0000:0000");
  const again = await runContainer(pod, container);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /7 were ready, 0 were given an address/);
});

interface Lack {
  readonly what: string;
  readonly pod?: Partial<Pod>;
  readonly container?: Partial<Container>;
  readonly volume?: string;
  readonly code: number;
  readonly words: RegExp;
}

const LACKS: Lack[] = [
  { what: "NET_ADMIN", container: { securityContext: { capabilities: {} } }, code: 1, words: /EPERM/ },
  { what: "a writable /sys/bus/pci", volume: "pci", code: 1, words: /EROFS/ },
  { what: "the state directory", volume: "state", code: 1, words: /"\/var\/lib\/cni/ },
  { what: "the host's network", pod: { hostNetwork: false }, code: 0, words: /^0 were ready, 0 were given/ },
];

for (const { what, pod: changedPod, container: changed, volume, code, words } of LACKS) {
  vfMacCase(`vf-mac init cannot do without ${what}`, async (pod, container) => {
    const volumeMounts = container.volumeMounts!.filter(({ name }) => name !== volume);
    const outcome = await runContainer({ ...pod, ...changedPod }, { ...container, volumeMounts, ...changed });
    assert.match(outcome.stderr, words);
    assert.equal(outcome.code, code);
    const { nodeGuid } = (await rdmaDevices()).find(({ name }) => name === vf(3).rdmaDevice)!;
    assert.equal(nodeGuid, "0000:0000:0000:0000");
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
    assert.equal((await one.add()).code, 0);
    const { code, stderr } = await runContainer(pod, container);
    // It sees neither the pod's namespace nor, therefore, the node GUID: what a pod has is none of its business.
    assert.equal(code, 0, stderr);
    assert.match(stderr, /\b0 were given an address, 0 could not be/);
    assert.equal(records().length, 1);
    assert.match(await shOk("ip -n pod -br link show net1"), new RegExp(mac));
    assert.match(await shOk("nsenter --net=/run/netns/pod rdma dev"), new RegExp(rdmaDevice));
    assert.equal((await one.del()).code, 0);
    await shOk(`ip -n pod link set net1 netns 1 name ${netdev}`);
  },
);
