// The scenarios on a kernel in memory; tests/vm/cases/scenarios.ts has them on a real one.
import { MemoryRig } from "../rig/memory/rig.ts";
import { NAMES_PER_NETNS } from "../scenarios/names_per_netns.ts";
import { SCENARIOS } from "../scenarios/scenarios.ts";

for (const [kernel, hasNamesPerNetns] of [["up to Linux 7.2", false], ["from Linux 7.3 on", true]] as const) {
  for (const { name, run } of [...SCENARIOS, ...(hasNamesPerNetns ? NAMES_PER_NETNS : [])]) {
    Deno.test(`${kernel}: ${name}`, async () => {
      using rig = new MemoryRig(hasNamesPerNetns);
      await run(rig);
    });
  }
}
