// The scenarios and the contract, by launcher and agent.
import { withAgent } from "../../rig/vm/guest/agent.ts";
import { vmCase } from "../../rig/vm/guest/harness.ts";
import type { CaseFields } from "../../rig/vm/kernels.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";
import { NAMES_PER_NETNS } from "../../scenarios/names_per_netns.ts";
import { SCENARIOS } from "../../scenarios/scenarios.ts";
import { CONTRACT } from "./contract.ts";

/** Each call must be done by the agent: an executed one would prove nothing. */
function agentCase(name: string, run: () => Promise<void>, fields: CaseFields): void {
  vmCase(`agent ${name}`, () => withAgent((agent) => agent.servesAll(run)), fields);
}

for (const { name, run, isExecutedOnly, needs } of [...SCENARIOS, ...NAMES_PER_NETNS]) {
  if (isExecutedOnly) continue;
  const isNewest = name.startsWith("names");
  agentCase(`scenarios: ${name}`, async () => await run(new VmRig()), {
    sets: isNewest ? ["agent", "newest"] : ["agent"],
    needs,
  });
}
for (const { name, run, sets } of CONTRACT) agentCase(`contract: ${name}`, run, { sets: ["agent", ...sets] });
