import type { AdminKernel } from "../../kernel/admin_kernel.ts";
import type { VfStatus } from "./list.ts";

const POLL_MS = 100;

/**
 * Waits until virtual functions have RDMA devices: a module that makes them may still be on its way after a boot.
 *
 * @param timeoutMs for all together
 * @returns those that have none when the time is up
 */
export async function awaitRdma(
  kernel: AdminKernel,
  vfs: readonly VfStatus[],
  timeoutMs: number,
): Promise<VfStatus[]> {
  const listMissing = () => {
    return vfs.filter(({ deviceId }) => (kernel.getBusDevice(deviceId)?.rdmaDevices.length ?? 0) === 0);
  };
  let missing = listMissing();
  for (let waitedMs = 0; missing.length > 0 && waitedMs < timeoutMs; waitedMs += POLL_MS) {
    await kernel.pause(POLL_MS);
    missing = listMissing();
  }
  return missing;
}
