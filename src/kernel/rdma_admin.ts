/** Changes to the RDMA subsystem that only commands make. */
import { setSharedMode } from "../netlink/nldev_admin.ts";
import type { RdmaMode } from "./kernel.ts";
import type { NetlinkSocket } from "./netlink_socket.ts";

/** Changes the namespace mode. The kernel refuses with EBUSY while another network namespace exists. */
export function setMode(socket: NetlinkSocket, mode: RdmaMode): void {
  socket.request(`set the RDMA namespace mode to ${mode}`, setSharedMode(mode === "shared"));
}
