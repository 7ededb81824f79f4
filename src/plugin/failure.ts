import { CniError, ErrorCode } from "../cni/error.ts";
import {
  EPROTONOSUPPORT,
  LibmnlMissing,
  NetlinkError,
  NetnsError,
  RoceQosError,
  SyscallError,
} from "../kernel/error.ts";

/** Turns what the kernel layer throws into what a runtime gets to see. Errors of any other kind stay as they are. */
export function toCniError(error: unknown): unknown {
  if (error instanceof NetnsError) {
    return wrap(error, ErrorCode.invalidNetns, "CNI_NETNS must lead to the pod's network namespace");
  }
  if (error instanceof LibmnlMissing) {
    return wrap(error, ErrorCode.libmnlMissing, "install libmnl (package libmnl0 or libmnl) on this node");
  }
  if (error instanceof RoceQosError) return wrap(error, ErrorCode.qosUnavailable, error.advice);
  if (error instanceof NetlinkError) {
    return wrap(error, ErrorCode.kernelRefused, "see the kernel log");
  }
  if (isFileError(error)) return wrap(error, ErrorCode.ioFailure, "see the kernel log");
  if (error instanceof SyscallError) {
    if (error.errno !== EPROTONOSUPPORT) return wrap(error, ErrorCode.ioFailure, "see the kernel log");
    return new CniError(
      ErrorCode.rdmaUnavailable,
      "Cannot reach the RDMA subsystem: the kernel has none",
      `load ib_core and the adapter's RDMA driver (modprobe ib_core mlx5_ib); ${error.message}`,
      { cause: error },
    );
  }
  return error;
}

/** Whether a call of Deno's on a file failed: these errors have the errno's name and say which file. */
function isFileError(error: unknown): error is Error {
  return error instanceof Error && typeof (error as { code?: unknown }).code === "string";
}

function wrap(error: Error, code: ErrorCode, advice: string): CniError {
  return new CniError(code, error.message, advice, { cause: error });
}
