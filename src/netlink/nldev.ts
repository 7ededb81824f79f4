/**
 * The RDMA devices' netlink family, NETLINK_RDMA with client RDMA_NL_NLDEV: uapi rdma/rdma_netlink.h,
 * drivers/infiniband/core/nldev.c. Its messages have no fixed structure before the attributes.
 */
import {
  type Attribute,
  type Attributes,
  decodeAttributes,
  getNested,
  getText,
  getU32,
  getU64,
  getU8,
  text,
  u32,
  u8,
} from "./attribute.ts";
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, type Request } from "./message.ts";
import { DecodeError } from "./error.ts";

const RDMA_NL_NLDEV = 5;

const RDMA_NLDEV_CMD_GET = 1;
const RDMA_NLDEV_CMD_SET = 2;
const RDMA_NLDEV_CMD_NEWLINK = 3;
const RDMA_NLDEV_CMD_DELLINK = 4;
const RDMA_NLDEV_CMD_PORT_GET = 5;
const RDMA_NLDEV_CMD_SYS_GET = 6;
const RDMA_NLDEV_CMD_SYS_SET = 7;
const RDMA_NLDEV_CMD_RES_GET = 9;
const RDMA_NLDEV_CMD_GET_CHARDEV = 15;
const RDMA_NLDEV_CMD_STAT_GET = 17;

const RDMA_NLDEV_ATTR_DEV_INDEX = 1;
const RDMA_NLDEV_ATTR_DEV_NAME = 2;
const RDMA_NLDEV_ATTR_PORT_INDEX = 3;
const RDMA_NLDEV_ATTR_NODE_GUID = 6;
const RDMA_NLDEV_ATTR_RES_SUMMARY = 15;
const RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY = 16;
const RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_NAME = 17;
const RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_CURR = 18;
const RDMA_NLDEV_ATTR_NDEV_NAME = 51;
const RDMA_NLDEV_ATTR_LINK_TYPE = 65;
const RDMA_NLDEV_SYS_ATTR_NETNS_MODE = 66;
const RDMA_NLDEV_NET_NS_FD = 68;
const RDMA_NLDEV_ATTR_CHARDEV_TYPE = 69;
const RDMA_NLDEV_ATTR_CHARDEV_NAME = 70;
const RDMA_NLDEV_ATTR_STAT_HWCOUNTERS = 80;
const RDMA_NLDEV_ATTR_STAT_HWCOUNTER_ENTRY = 81;
const RDMA_NLDEV_ATTR_STAT_HWCOUNTER_ENTRY_NAME = 82;
const RDMA_NLDEV_ATTR_STAT_HWCOUNTER_ENTRY_VALUE = 83;
const RDMA_NLDEV_ATTR_PARENT_NAME = 100;

/** An RDMA device as a namespace shows it. `parent` is set for SMI sub-devices only (kernel 6.11). */
export interface RdmaDevice {
  readonly index: number;
  readonly name: string;
  readonly parent?: string;
}

/** An RDMA device with its node GUID, as the number whose 16 hexadecimal digits people write. */
export interface RdmaNode extends RdmaDevice {
  readonly nodeGuid: bigint;
}

/** The number of objects of a kind ("pd", "qp", "ctx" ...) that exist on a device. */
export interface ResourceCount {
  readonly kind: string;
  readonly count: bigint;
}

/** A hardware counter of a port, by the name that the driver gives it. */
export interface Counter {
  readonly name: string;
  readonly value: bigint;
}

/** Asks for all devices that the socket's namespace can see. */
export function devicesRequest(): Request {
  return request(RDMA_NLDEV_CMD_GET, [], NLM_F_DUMP);
}

/** Asks for one device; the kernel refuses with EINVAL when the socket's namespace does not have it. */
export function deviceRequest(index: number): Request {
  return request(RDMA_NLDEV_CMD_GET, [u32(RDMA_NLDEV_ATTR_DEV_INDEX, index)]);
}

/**
 * Moves a device to the namespace behind an open file descriptor. The sending thread must be in the device's namespace.
 *
 * @param name its name there. Kernels before 7.3 rename the device where it is and ignore the namespace (nldev.c,
 *   nldev_set_doit)
 */
export function moveDeviceRequest(index: number, netnsFd: number, name?: string): Request {
  return order(RDMA_NLDEV_CMD_SET, [
    u32(RDMA_NLDEV_ATTR_DEV_INDEX, index),
    ...(name === undefined ? [] : [text(RDMA_NLDEV_ATTR_DEV_NAME, name)]),
    u32(RDMA_NLDEV_NET_NS_FD, netnsFd),
  ]);
}

export function renameDeviceRequest(index: number, name: string): Request {
  return order(RDMA_NLDEV_CMD_SET, [
    u32(RDMA_NLDEV_ATTR_DEV_INDEX, index),
    text(RDMA_NLDEV_ATTR_DEV_NAME, name),
  ]);
}

/** Makes an RDMA device in software. @param type of the driver: "rxe" @param netdev in the socket's namespace */
export function newLinkRequest(name: string, type: string, netdev: string): Request {
  return order(RDMA_NLDEV_CMD_NEWLINK, [
    text(RDMA_NLDEV_ATTR_DEV_NAME, name),
    text(RDMA_NLDEV_ATTR_LINK_TYPE, type),
    text(RDMA_NLDEV_ATTR_NDEV_NAME, netdev),
  ]);
}

/** Removes an RDMA device that was made in software, and no other. */
export function deleteLinkRequest(index: number): Request {
  return order(RDMA_NLDEV_CMD_DELLINK, [u32(RDMA_NLDEV_ATTR_DEV_INDEX, index)]);
}

/** Asks for a port; the kernel refuses with EINVAL when the socket's namespace does not have the device. */
export function portRequest(index: number, port: number): Request {
  return request(RDMA_NLDEV_CMD_PORT_GET, [
    u32(RDMA_NLDEV_ATTR_DEV_INDEX, index),
    u32(RDMA_NLDEV_ATTR_PORT_INDEX, port),
  ]);
}

/** Asks for the subsystem's settings, the namespace mode among them. */
export function systemRequest(): Request {
  return request(RDMA_NLDEV_CMD_SYS_GET, []);
}

/** Sets the namespace mode: whether all namespaces share all devices. Needs CAP_NET_ADMIN. */
export function sharedModeRequest(shared: boolean): Request {
  return order(RDMA_NLDEV_CMD_SYS_SET, [u8(RDMA_NLDEV_SYS_ATTR_NETNS_MODE, shared ? 1 : 0)]);
}

/** Asks for the character device that a client ("uverbs", "umad") made for an RDMA device. */
export function charDeviceRequest(index: number, client: string): Request {
  return request(RDMA_NLDEV_CMD_GET_CHARDEV, [
    u32(RDMA_NLDEV_ATTR_DEV_INDEX, index),
    text(RDMA_NLDEV_ATTR_CHARDEV_TYPE, client),
  ]);
}

/** Asks how many objects processes have on a device. */
export function resourcesRequest(index: number): Request {
  return request(RDMA_NLDEV_CMD_RES_GET, [u32(RDMA_NLDEV_ATTR_DEV_INDEX, index)]);
}

/** Asks for the hardware counters of a port; the kernel refuses with EINVAL when its driver has none. */
export function countersRequest(index: number, port: number): Request {
  return request(RDMA_NLDEV_CMD_STAT_GET, [
    u32(RDMA_NLDEV_ATTR_DEV_INDEX, index),
    u32(RDMA_NLDEV_ATTR_PORT_INDEX, port),
  ]);
}

/**
 * Decodes one reply to {@linkcode devicesRequest} or {@linkcode deviceRequest}.
 *
 * @throws {DecodeError} when the index or the name is missing, or a value has the wrong size
 */
export function decodeDevice(payload: Uint8Array): RdmaDevice {
  const attributes = decodeAttributes(payload);
  const index = getU32(attributes, RDMA_NLDEV_ATTR_DEV_INDEX);
  const name = getText(attributes, RDMA_NLDEV_ATTR_DEV_NAME);
  if (index === undefined || !name) {
    throw new DecodeError("Cannot decode RDMA device: index or name is missing");
  }
  const parent = getText(attributes, RDMA_NLDEV_ATTR_PARENT_NAME);
  return parent === undefined ? { index, name } : { index, name, parent };
}

/**
 * Decodes one reply to {@linkcode devicesRequest} with the device's node GUID, which comes in the machine's byte order
 * (nldev.c, fill_dev_info).
 *
 * @throws {DecodeError} when index, name or GUID is missing, or a value has the wrong size
 */
export function decodeRdmaNode(payload: Uint8Array): RdmaNode {
  const nodeGuid = getU64(decodeAttributes(payload), RDMA_NLDEV_ATTR_NODE_GUID);
  if (nodeGuid === undefined) throw new DecodeError("Cannot decode RDMA device: node GUID is missing");
  return { ...decodeDevice(payload), nodeGuid };
}

/**
 * Decodes the reply to {@linkcode portRequest}: the name of the port's netdev, which the kernel tells only if it is in
 * the socket's namespace (nldev.c, fill_port_info).
 */
export function decodePortNetdev(payload: Uint8Array): string | undefined {
  return getText(decodeAttributes(payload), RDMA_NLDEV_ATTR_NDEV_NAME);
}

/**
 * Decodes the reply to {@linkcode systemRequest}: true when all namespaces share all devices.
 *
 * @throws {DecodeError} when the mode is missing, as on kernels without RDMA namespaces
 */
export function decodeSharedMode(payload: Uint8Array): boolean {
  const mode = getU8(decodeAttributes(payload), RDMA_NLDEV_SYS_ATTR_NETNS_MODE);
  if (mode === undefined) {
    throw new DecodeError("Cannot decode RDMA settings: no namespace mode in the answer");
  }
  return mode !== 0;
}

/** Decodes the reply to {@linkcode charDeviceRequest}: the name below /dev/infiniband, if there is one. */
export function decodeCharDevice(payload: Uint8Array): string | undefined {
  return getText(decodeAttributes(payload), RDMA_NLDEV_ATTR_CHARDEV_NAME);
}

/** Decodes the reply to {@linkcode resourcesRequest}: an entry for each kind, even if there are none. */
export function decodeResources(payload: Uint8Array): ResourceCount[] {
  const entries = decodeTable(payload, RDMA_NLDEV_ATTR_RES_SUMMARY, RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY);
  return entries.map((entry) => ({
    kind: getText(entry, RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_NAME) ?? "",
    count: getU64(entry, RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_CURR) ?? 0n,
  }));
}

/** Decodes the reply to {@linkcode countersRequest}: the counters that are not switched off. */
export function decodeCounters(payload: Uint8Array): Counter[] {
  const entries = decodeTable(payload, RDMA_NLDEV_ATTR_STAT_HWCOUNTERS, RDMA_NLDEV_ATTR_STAT_HWCOUNTER_ENTRY);
  return entries.map((entry) => ({
    name: getText(entry, RDMA_NLDEV_ATTR_STAT_HWCOUNTER_ENTRY_NAME) ?? "",
    value: getU64(entry, RDMA_NLDEV_ATTR_STAT_HWCOUNTER_ENTRY_VALUE) ?? 0n,
  }));
}

/** The entries of a table in a message; none when it has no such table. */
function decodeTable(payload: Uint8Array, table: number, entry: number): Attributes[] {
  const entries = getNested(decodeAttributes(payload), table).get(entry) ?? [];
  return entries.map(decodeAttributes);
}

/** A request that changes something; the kernel acknowledges it. */
function order(command: number, attributes: readonly Attribute[]): Request {
  return request(command, attributes, NLM_F_ACK);
}

/** A request that one message answers, unless the flags make it a dump. */
function request(command: number, attributes: readonly Attribute[], flags = 0): Request {
  return {
    type: (RDMA_NL_NLDEV << 10) + command,
    flags: NLM_F_REQUEST | flags,
    body: new Uint8Array(0),
    attributes,
  };
}
