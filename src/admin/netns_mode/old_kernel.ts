import { DecodeError, EINVAL, EOPNOTSUPP, NetlinkError } from "../../kernel/error.ts";
import { CommandError } from "../error.ts";

/** What to do about a kernel without RDMA namespaces. */
export const NEWER_KERNEL =
  "install kernel 5.3 or newer, or the adapter's driver package (MLNX_OFED, DOCA), which has its own RDMA subsystem; reboot";

/**
 * Does something about the namespace mode. Kernels before 5.3 do not know the requests and call them invalid
 * (drivers/infiniband/core/netlink.c, rdma_nl_rcv_msg), or answer without the mode.
 *
 * @throws {CommandError} that tells so, on such a kernel
 */
export function tellingOldKernel<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const isOld = error instanceof DecodeError ||
      (error instanceof NetlinkError && [EINVAL, EOPNOTSUPP].includes(error.errno));
    if (!isOld) throw error;
    const advice = `The kernel knows no RDMA namespace mode: ${NEWER_KERNEL}.`;
    throw new CommandError(error.message, advice, undefined, { cause: error });
  }
}
