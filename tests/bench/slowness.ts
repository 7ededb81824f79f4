import { plugin } from "../rig/vm/guest/harness.ts";

const RUNS = 11;

/**
 * Returns how many times as long as the host this node takes for the same work, while it has not to wait for the host. What
 * takes so many times as long as usual here makes for slow motion.
 *
 * @param hostMs what the plugin's VERSION takes on the host
 */
export async function measureSlowness(hostMs: number): Promise<number> {
  const ms = [];
  for (let run = 0; run < RUNS; run++) ms.push((await plugin({ command: "VERSION" })).ms);
  return Math.min(...ms) / hostMs;
}
