import { measureOnNode } from "./boot.ts";
import { timeVersion } from "./here.ts";

/** ADDs of several pods in a cgroup with a CPU limit, as thick Multus makes them, in milliseconds as the host has them. */
export interface LimitedCalls {
  /** Version of the cgroup. */
  version: 1 | 2;
  /** Thousandths of a processor; null without a limit. */
  millicpu: number | null;
  order: "in a row" | "at once";
  calls: number;
  /** From the first start to the last end. */
  totalMs: number;
  /** Of the call that took longest. */
  worstMs: number;
  failed: number;
}

/** Calls the plugin on the simulated node within the CPU limits that Multus' manifests have. */
export async function measureCpuLimit(plugin: string): Promise<LimitedCalls[]> {
  return await measureOnNode({
    module: "cpu_limit_guest.ts",
    plugin,
    args: [`${await timeVersion(plugin)}`],
    scalableFunctions: 8,
    timeoutMs: 20 * 60_000,
  });
}
