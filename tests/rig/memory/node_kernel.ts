import type { NodeKernel, OtherNetns, RdmaMode } from "../../../src/kernel/kernel.ts";
import { NetlinkError } from "../../../src/netlink/error.ts";
import { LibmnlMissing } from "../../../src/netlink/libmnl.ts";
import { EBUSY } from "../../../src/sys/errno.ts";
import { MemoryVfKernel } from "./vf_kernel.ts";

/** A kernel in memory for the commands: it refuses to change the mode while another namespace exists. */
export class MemoryNodeKernel extends MemoryVfKernel implements NodeKernel {
  others: OtherNetns[] = [];
  isComplete = true;
  /** Where libmnl is found, if it is. */
  libmnl: string | undefined = "libmnl.so.0";
  /** What the kernel refuses any change of the mode with, if it does. */
  refusal: Error | undefined;

  setRdmaMode(mode: RdmaMode): void {
    this.assertRdma();
    if (this.refusal) throw this.refusal;
    if (mode === this.mode) return;
    if (this.others.length > 0) throw new NetlinkError(`set the RDMA namespace mode to ${mode}`, EBUSY);
    this.mode = mode;
  }

  listOtherNetns() {
    return { namespaces: this.others, isComplete: this.isComplete };
  }

  findLibmnl(): string {
    if (this.libmnl === undefined) throw new LibmnlMissing("Cannot open libmnl: it is not there");
    return this.libmnl;
  }
}
