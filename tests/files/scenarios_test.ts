// The scenarios on a kernel in memory; tests/vm/cases/scenarios.ts has them on a real one.
import { MemoryRig } from "../rig/memory/rig.ts";
import { SCENARIOS } from "../scenarios/scenarios.ts";

for (const { name, run } of SCENARIOS) {
  Deno.test(name, async () => {
    using rig = new MemoryRig();
    await run(rig);
  });
}
