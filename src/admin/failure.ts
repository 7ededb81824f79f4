import { CniError } from "../cni/error.ts";
import {
  EACCES,
  EPERM,
  EPROTONOSUPPORT,
  EROFS,
  LibmnlMissing,
  NetlinkError,
  SyscallError,
} from "../kernel/error.ts";
import { CommandError } from "./error.ts";

/** Adds what to do to what the kernel layer throws. Errors of any other kind stay as they are. */
export function toCommandError(error: unknown): unknown {
  if (isWithoutRdma(error)) {
    return new CommandError(
      "Cannot reach the RDMA subsystem: the kernel has none",
      `Load ib_core and the adapter's RDMA driver (modprobe -a ib_core mlx5_ib). ${(error as Error).message}`,
      undefined,
      { cause: error },
    );
  }
  if (error instanceof LibmnlMissing) {
    return withAdvice(error, "Install libmnl (package libmnl0 or libmnl) on this node.");
  }
  if (error instanceof NetlinkError && error.errno === EPERM) {
    return withAdvice(error, "This needs root with CAP_NET_ADMIN in the initial user namespace.");
  }
  if (error instanceof SyscallError && [EPERM, EACCES, EROFS].includes(error.errno)) {
    return withAdvice(error, "This needs root in the host's namespaces, and a /sys that can be written.");
  }
  if (error instanceof CniError) return withAdvice(error, error.details);
  return error;
}

/** The kernel has no RDMA subsystem: its netlink family is missing (net/netlink/af_netlink.c, netlink_create). */
export function isWithoutRdma(error: unknown): boolean {
  return error instanceof SyscallError && error.errno === EPROTONOSUPPORT;
}

function withAdvice(error: Error, advice: string | undefined): CommandError {
  return new CommandError(error.message, advice, undefined, { cause: error });
}
