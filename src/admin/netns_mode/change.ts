/** Changes the mode of the running kernel. */
import type { AdminKernel, OtherNetnsList } from "../../kernel/admin_kernel.ts";
import { EBUSY, NetlinkError } from "../../kernel/error.ts";
import type { RdmaMode } from "../../kernel/kernel.ts";
import { tellingOldKernel } from "./old_kernel.ts";

/** How the running kernel took it. */
export interface Change {
  readonly state: "already" | "changed" | "refused";
  readonly before: RdmaMode;
  /** What stands in the way, when it is refused. */
  readonly others?: OtherNetnsList;
}

/**
 * Changes the mode, unless it is so already.
 *
 * @param dryRun only foretell what the kernel would say
 * @throws {SyscallError} EPROTONOSUPPORT without ib_core
 * @throws {CommandError} on a kernel that knows no modes
 * @throws {NetlinkError} when the kernel refuses for another reason than namespaces that exist
 */
export function changeMode(kernel: AdminKernel, mode: RdmaMode, dryRun: boolean): Change {
  const before = tellingOldKernel(() => kernel.getRdmaMode());
  if (before === mode) return { state: "already", before };
  if (dryRun) return foretell(kernel, before);
  try {
    tellingOldKernel(() => kernel.setRdmaMode(mode));
    return { state: "changed", before };
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === EBUSY)) throw error;
    return { state: "refused", before, others: kernel.listOtherNetns() };
  }
}

/** The kernel refuses while any other namespace exists (drivers/infiniband/core/device.c, rdma_compatdev_set). */
function foretell(kernel: AdminKernel, before: RdmaMode): Change {
  const others = kernel.listOtherNetns();
  return others.namespaces.length > 0 ? { state: "refused", before, others } : { state: "changed", before };
}
