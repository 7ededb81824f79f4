// What tests/rig/vm/kernels.ts leaves cases out for: each kernel has it or not, as the table says.
import { assertEquals } from "../../support/assert.ts";
import { LinuxKernel } from "../../../src/kernel/linux.ts";
import {
  addNetns,
  addPod,
  casesWith,
  letKernelLoadModules,
  names,
  rdmaToNetns,
  setSimParameter,
  sh,
  shOk,
  unbind,
  vf,
} from "../../rig/vm/guest/harness.ts";
import { isBefore, LACKS, parseRelease } from "../../rig/vm/kernels.ts";

const vmCase = casesWith({ sets: ["plugin", "newest", "middle", "oldest", "arm64"] });

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
