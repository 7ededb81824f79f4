import { NETLINK_RDMA } from "../netlink/constants.ts";
import type { AdminKernel, OtherNetnsList } from "./admin_kernel.ts";
import type { RdmaMode } from "./kernel.ts";
import { LinuxKernel } from "./linux.ts";
import { listOtherNetns } from "./other_netns.ts";
import { setMode } from "./rdma_admin.ts";

/** The kernel this process runs on, for the commands. A module of its own, so that CNI calls do not load it. */
export class LinuxAdminKernel extends LinuxKernel implements AdminKernel {
  setRdmaMode(mode: RdmaMode): void {
    setMode(this.hostNetns.socket(NETLINK_RDMA), mode);
  }

  listOtherNetns(): OtherNetnsList {
    return listOtherNetns();
  }
}
