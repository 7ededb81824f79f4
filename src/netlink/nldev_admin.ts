/** Requests of the RDMA devices' netlink family that only commands make. */
import { u8 } from "./attribute.ts";
import type { Request } from "./message.ts";
import { RDMA_NLDEV_SYS_ATTR_NETNS_MODE, request } from "./nldev.ts";

const RDMA_NLDEV_CMD_SYS_SET = 7;

/** Orders the namespace mode: whether devices are shared by all namespaces. Needs CAP_NET_ADMIN. */
export function setSharedMode(shared: boolean): Request {
  return request(RDMA_NLDEV_CMD_SYS_SET, [u8(RDMA_NLDEV_SYS_ATTR_NETNS_MODE, shared ? 1 : 0)]);
}
