// What other cases build on: the kernel's facts, as the kernel in memory has them too (tests/files/kernel_facts_test.ts),
// what tests/rig/vm/kernels.ts leaves cases out for, and the rig itself, by iproute2's own programs.
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { LinuxKernel, LinuxNodeKernel } from "../../../src/kernel/linux.ts";
import {
  addNetns,
  addPod,
  casesWith,
  holdNetns,
  letKernelLoadModules,
  names,
  netnsCount,
  pf,
  rdmaDevices,
  rdmaToNetns,
  rebind,
  setSimParameter,
  sfs,
  sh,
  shOk,
  unbind,
  unloadModule,
  until,
  vf,
  vfs,
} from "../../rig/vm/guest/harness.ts";
import { PodCgroup, SYSTEMD_CGROUP } from "../../rig/vm/guest/pod_cgroup.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";
import { isBefore, LACKS, parseRelease } from "../../rig/vm/kernels.ts";
import { type FactNode, FACTS } from "../../support/kernel_facts.ts";

const vmCase = casesWith({ sets: ["plugin", "newest", "middle", "oldest", "arm64"] });

vmCase("rig: every function has one RDMA device, with the GUID of its address", async () => {
  const devices = await rdmaDevices();
  assertEquals(vfs().length, 7);
  assertEquals(devices.length, 8 + sfs().length);
  for (const { mac, rdmaDevices } of [pf(), ...vfs(), ...sfs()]) {
    assertEquals(rdmaDevices.length, 1);
    const digits = mac!.replaceAll(":", "");
    const guid = `${digits.slice(0, 6)}fffe${digits.slice(6)}`.match(/..../g)!.join(":");
    assertEquals(devices.find(({ name }) => name === rdmaDevices[0])!.nodeGuid, guid);
  }
});

vmCase("rig: a kernel's warning is seen, also when its own log has lost it", async (log) => {
  await shOk("echo on >/proc/sys/kernel/printk_devkmsg; echo '<7>WARNING: made up' >/dev/kmsg");
  const line = new TextEncoder().encode(`<7>${"x".repeat(900)}\n`);
  const lost = async () => !(await shOk("dmesg")).includes("made up");
  using kmsg = Deno.openSync("/dev/kmsg", { write: true });
  await until("the kernel's log has lost it", async () => {
    for (let i = 0; i < 50; i++) kmsg.writeSync(line);
    return await lost();
  });
  assertMatch(await log.takeWarning() ?? "", /^WARNING: made up/);
  assertEquals(await log.takeWarning(), undefined);
}, { sets: ["plugin"] });

const kernel = new LinuxNodeKernel();

function realNode(): FactNode & AsyncDisposable {
  const held = new Set<string>();
  const made = new AsyncDisposableStack();
  return {
    kernel,
    functions: [vf(0).deviceId, vf(1).deviceId],
    hasNamesPerNetns: new VmRig().hasNamesPerNetns,
    addNetns,
    enterNetns: async (name) => {
      await holdNetns(name);
      held.add(name);
    },
    removePath: async (name) => {
      const before = netnsCount();
      await shOk(`ip netns del ${name}`);
      if (!held.has(name)) await until(`namespace ${name} has ended`, () => netnsCount() < before);
    },
    addInterface: async (netns, name) => {
      await shOk(`ip -n ${netns} link add ${name} type dummy`);
    },
    setSoftRoce: async (isThere) => {
      if (isThere) made.use(await letKernelLoadModules()); // it needs others when it makes a device
      else await unloadModule("rdma_rxe");
    },
    addCgroup: async () => made.use(await PodCgroup.create(SYSTEMD_CGROUP)).path,
    giveQos: () => {
      setSimParameter("has_traffic_class", true);
      setSimParameter("kernel_verbs", true);
      rebind(vf(0).deviceId);
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
}

for (const { name, ask, answer, needs } of FACTS) {
  vmCase(`kernel: ${name}`, async () => {
    await using node = realNode();
    assertEquals(await ask(node), answer);
  }, { needs });
}

/** Whether the running kernel has what the older ones lack. */
const HAS: Record<keyof typeof LACKS, () => boolean | Promise<boolean>> = {
  auxiliaryBus: () => names("/sys/bus").includes("auxiliary"),
  netnsCookie: () => {
    using netns = new LinuxKernel().openNetns("/proc/self/ns/net");
    return netns.getCookie() !== undefined;
  },
  linkParent: async () =>
    (await shOk(`ip -details link show ${vf(0).netdev}`)).includes(`parentdev ${vf(0).deviceId}`),
  bindError: () => {
    const { deviceId } = vf(0);
    unbind(deviceId);
    setSimParameter("refuse_binds", 1);
    try {
      Deno.writeTextFileSync("/sys/bus/pci/drivers/igbvf/bind", deviceId);
    } catch (error) {
      return /resource busy/.test(`${error}`);
    }
    throw new Error("The bind did not fail");
  },
  subDevices: async () => {
    const added = await sh(`rdma dev add smi1 type SMI parent ${vf(0).rdmaDevice}`);
    if (added.code === 0) await shOk("rdma dev del smi1");
    return added.code === 0;
  },
  namesPerNetns: async () => {
    const { rdmaDevice } = await addPod();
    await rdmaToNetns(rdmaDevice, "pod");
    return (await sh(`rdma dev set ${vf(1).rdmaDevice} name ${rdmaDevice}`)).code === 0;
  },
  movableSoftRoce: async () => {
    using _helper = await letKernelLoadModules();
    await addNetns("pod");
    await shOk("ip link add parent0 type dummy && rdma link add rxe0 type rxe netdev parent0");
    const moved = await sh("rdma dev set rxe0 netns pod");
    await shOk("ip link del parent0");
    return moved.code === 0;
  },
  vdpa: async () => (await sh('modprobe --dirname "$MODULES" --dry-run vdpa')).code === 0,
};

const release = Deno.osRelease();

for (const [key, { reason, since }] of Object.entries(LACKS)) {
  vmCase(`kernel: ${reason}`, async () => {
    assertEquals(await HAS[key as keyof typeof LACKS](), !isBefore(parseRelease(release), since), release);
  });
}
