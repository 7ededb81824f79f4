import { CniError, ErrorCode } from "../cni/error.ts";
import type { Kernel } from "../kernel/kernel.ts";

/**
 * Makes sure that RDMA devices belong to one namespace each, else they cannot be moved.
 *
 * @throws {CniError} code 101 when the subsystem is in mode shared
 */
export function requireExclusiveMode(kernel: Kernel): void {
  if (kernel.getRdmaMode() === "exclusive") return;
  throw new CniError(
    ErrorCode.rdmaModeShared,
    "Cannot isolate RDMA devices: the RDMA subsystem is in namespace mode shared, want exclusive",
    'run "rdma-cni netns-mode set exclusive --persist"; while other network namespaces exist it takes a reboot',
  );
}
