import type { NetworkConfig } from "../cni/config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { NoRdmaDevice } from "./device.ts";
import { toCniError } from "./failure.ts";

/**
 * Whether the configuration lets a pod go without an RDMA device of its own for this reason: `optional` when the node
 * or the function has none, `onSharedMode` "skip" when the kernel shows all of them to every namespace.
 */
export function mayGoWithout(error: unknown, { optional, onSharedMode }: NetworkConfig): boolean {
  const known = toCniError(error);
  if (!(known instanceof CniError)) return false;
  if (known.code === ErrorCode.rdmaModeShared) return onSharedMode === "skip";
  return optional && (known instanceof NoRdmaDevice || known.code === ErrorCode.rdmaUnavailable);
}
