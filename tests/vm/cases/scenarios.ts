// The scenarios and the contract on a real kernel: by launcher and agent, and executed. tests/files/scenarios_test.ts has
// the scenarios on a kernel in memory.
import { withAgent } from "../../rig/vm/guest/agent.ts";
import { vmCase } from "../../rig/vm/guest/harness.ts";
import type { CaseFields } from "../../rig/vm/kernels.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";
import { NAMES_PER_NETNS } from "../../scenarios/names_per_netns.ts";
import { SCENARIOS } from "../../scenarios/scenarios.ts";
import { CONTRACT } from "./contract.ts";

const ALL = [...SCENARIOS, ...NAMES_PER_NETNS];

for (const { name, run, isExecutedOnly, sets = [], needs } of ALL) {
  const tier = isExecutedOnly ? "plugin" : "elsewhere";
  vmCase(`scenarios: ${name}`, () => run(new VmRig()), { sets: [tier, ...sets], needs });
}
for (const { name, run, sets } of CONTRACT) vmCase(`contract: ${name}`, run, { sets: ["plugin", ...sets] });

/** Each call must be done by the agent, which the case before has left: an executed one would prove nothing. */
function agentCase(name: string, run: () => Promise<void>, fields: CaseFields): void {
  vmCase(`agent ${name}`, () => withAgent((agent) => agent.servesAll(run)), fields);
}

for (const { name, run, isExecutedOnly, needs } of ALL) {
  if (isExecutedOnly) continue;
  const sets = name.startsWith("names") ? ["agent", "newest"] as const : ["agent"] as const;
  agentCase(`scenarios: ${name}`, async () => await run(new VmRig()), { sets, needs });
}
for (const { name, run, sets } of CONTRACT) agentCase(`contract: ${name}`, run, { sets: ["agent", ...sets] });
