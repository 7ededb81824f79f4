import type { Kernel, RdmaMode } from "./kernel.ts";

/** What the commands that people type ask of the kernel, on top of what the plugin does. Types only. */
export interface AdminKernel extends Kernel {
  /** @throws {NetlinkError} EBUSY while another network namespace exists, EPERM without CAP_NET_ADMIN */
  setRdmaMode(mode: RdmaMode): void;
}
