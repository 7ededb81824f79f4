// The table of facts on the real kernel; tests/files/kernel_facts_test.ts asks the kernel in memory.
import { assertEquals } from "../../support/assert.ts";
import { LinuxKernel } from "../../../src/kernel/linux.ts";
import {
  addNetns,
  casesWith,
  holdNetns,
  netnsCount,
  setNetnsMode,
  shOk,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";
import { type FactNode, FACTS } from "../../support/kernel_facts.ts";

const vmCase = casesWith({ sets: ["plugin", "newest", "middle", "oldest", "arm64"] });

const kernel = new LinuxKernel();

function realNode(): FactNode {
  const held = new Set<string>();
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
    setMode: setNetnsMode,
  };
}

for (const { name, ask, answer, needs } of FACTS) {
  vmCase(`kernel: ${name}`, async () => assertEquals(await ask(realNode()), answer), { needs });
}
