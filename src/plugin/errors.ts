import { DecodeError, isRdmaMissing, LibmnlMissing, NetlinkError, RoceQosError } from "../kernel/kernel.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { EPERM, errnoOf, messageOf, SyscallError } from "../sys/errno.ts";
import { NetnsError } from "../sys/netns.ts";
import type { NetworkConfig } from "./config/config.ts";
import { NoRdmaDevice } from "./device/device.ts";
import { RIGHTS_ADVICE } from "./device/move.ts";

/** Turns what the kernel layer and Deno's files throw into what a runtime gets to see, and leaves other errors. */
export function toCniError(error: unknown): unknown {
  if (error instanceof NetnsError) {
    return wrap(error, ErrorCode.invalidNetns, "CNI_NETNS must lead to the pod's network namespace");
  }
  if (error instanceof LibmnlMissing) {
    return wrap(error, ErrorCode.libmnlMissing, "install libmnl (package libmnl0 or libmnl) on this node");
  }
  if (error instanceof RoceQosError) return wrap(error, ErrorCode.featureUnavailable, error.advice);
  if (error instanceof NetlinkError) return wrap(error, ErrorCode.kernelRefused, "see the kernel log");
  if (isRdmaMissing(error)) {
    return new CniError(
      ErrorCode.rdmaUnavailable,
      "Cannot reach the RDMA subsystem: the kernel has none",
      `load ib_core and the adapter's RDMA driver (modprobe -a ib_core mlx5_ib); ${messageOf(error)}`,
      { cause: error },
    );
  }
  if (error instanceof SyscallError) {
    return error.errno === EPERM
      ? wrap(error, ErrorCode.kernelRefused, RIGHTS_ADVICE)
      : wrap(error, ErrorCode.ioFailure, "see the kernel log");
  }
  if (error instanceof DecodeError) {
    const advice = "this version does not understand the kernel: please report it";
    return wrap(error, ErrorCode.kernelRefused, advice);
  }
  const isFileError = error instanceof Error && !(error instanceof CniError) && errnoOf(error) !== undefined;
  return isFileError ? wrap(error, ErrorCode.ioFailure, "see the kernel log") : error;
}

function wrap(error: Error, code: ErrorCode, advice: string): CniError {
  return new CniError(code, error.message, advice, { cause: error });
}

/**
 * Returns whether the configuration lets a pod do without an RDMA device for this reason: `optional` when the node
 * or the function has none, `onSharedMode` "skip" when the kernel shows all of them to every namespace.
 */
export function mayGoWithout(error: unknown, { optional, onSharedMode }: NetworkConfig): boolean {
  const known = toCniError(error);
  if (!(known instanceof CniError)) return false;
  if (known.code === ErrorCode.rdmaModeShared) return onSharedMode === "skip";
  return optional && (known instanceof NoRdmaDevice || known.code === ErrorCode.rdmaUnavailable);
}
