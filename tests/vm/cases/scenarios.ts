// The scenarios on a real kernel, executed; tests/files/scenarios_test.ts has them on one in memory.
import { vmCase } from "../../rig/vm/guest/harness.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";
import { NAMES_PER_NETNS } from "../../scenarios/names_per_netns.ts";
import { SCENARIOS } from "../../scenarios/scenarios.ts";

for (const { name, run, isExecutedOnly, sets = [], needs } of [...SCENARIOS, ...NAMES_PER_NETNS]) {
  const tier = isExecutedOnly ? "plugin" : "elsewhere";
  vmCase(`scenarios: ${name}`, () => run(new VmRig()), { sets: [tier, ...sets], needs });
}
