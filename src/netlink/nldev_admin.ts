/** What only commands ask of, and tell, the RDMA devices' netlink family. */
import { decodeAttributes, getU64, u8 } from "./attribute.ts";
import { DecodeError } from "./error.ts";
import type { Request } from "./message.ts";
import { decodeDevice, order, RDMA_NLDEV_SYS_ATTR_NETNS_MODE, type RdmaDevice } from "./nldev.ts";

const RDMA_NLDEV_CMD_SYS_SET = 7;

const RDMA_NLDEV_ATTR_NODE_GUID = 6;

/** Orders the namespace mode: whether devices are shared by all namespaces. Needs CAP_NET_ADMIN. */
export function setSharedMode(shared: boolean): Request {
  return order(RDMA_NLDEV_CMD_SYS_SET, [u8(RDMA_NLDEV_SYS_ATTR_NETNS_MODE, shared ? 1 : 0)]);
}

/**
 * Reads one reply to `listDevices` with the device's node GUID. The kernel sends it in the machine's byte order
 * (drivers/infiniband/core/nldev.c, fill_dev_info), so the number is the one whose 16 digits people write.
 *
 * @throws {DecodeError} when index, name or GUID is missing, or a value has the wrong size
 */
export function decodeRdmaNode(payload: Uint8Array): RdmaDevice & { readonly nodeGuid: bigint } {
  const nodeGuid = getU64(decodeAttributes(payload), RDMA_NLDEV_ATTR_NODE_GUID);
  if (nodeGuid === undefined) throw new DecodeError("Cannot decode RDMA device: node GUID is missing");
  return { ...decodeDevice(payload), nodeGuid };
}
