// The scenarios on a real kernel; tests/files/scenarios_test.ts has them on one in memory.
import { vmCase } from "../../rig/vm/guest/harness.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";
import { NAMES_PER_NETNS } from "../../scenarios/names_per_netns.ts";
import { SCENARIOS } from "../../scenarios/scenarios.ts";

for (const { name, run, sets = [], needs } of [...SCENARIOS, ...NAMES_PER_NETNS]) {
  vmCase(`scenarios: ${name}`, () => run(new VmRig()), { sets: ["scenarios", ...sets], needs });
}
