import { EINVAL, EOPNOTSUPP, NetlinkError } from "../../kernel/error.ts";
import { CommandError } from "../error.ts";

/**
 * Does something about the namespace mode. Kernels before 5.3 do not know the requests and call them invalid
 * (drivers/infiniband/core/netlink.c, rdma_nl_rcv_msg).
 *
 * @throws {CommandError} that tells so, on such a kernel
 */
export function tellingOldKernel<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NetlinkError) || ![EINVAL, EOPNOTSUPP].includes(error.errno)) throw error;
    const advice = "The kernel knows no RDMA namespace mode: 5.3 or newer is needed.";
    throw new CommandError(error.message, advice, undefined, { cause: error });
  }
}
