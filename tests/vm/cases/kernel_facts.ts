// The table of facts on the real kernel; tests/files/kernel_facts_test.ts asks the kernel in memory.
import { assertEquals } from "../../support/assert.ts";
import { LinuxNodeKernel } from "../../../src/kernel/linux.ts";
import {
  addNetns,
  casesWith,
  holdNetns,
  letKernelLoadModules,
  netnsCount,
  rebind,
  setSimParameter,
  shOk,
  unloadModule,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";
import { PodCgroup, SYSTEMD_CGROUP } from "../../rig/vm/guest/pod_cgroup.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";
import { type FactNode, FACTS } from "../../support/kernel_facts.ts";

const vmCase = casesWith({ sets: ["plugin", "newest", "middle", "oldest", "arm64"] });

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
