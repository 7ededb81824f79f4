/** The RDMA subsystem by netlink. A socket sees and does what the namespace can that it was opened in. */
import { DecodeError, unlessRefused } from "../netlink/error.ts";
import type { Message, Request } from "../netlink/message.ts";
import * as nldev from "../netlink/nldev.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { EINVAL, ENODEV, ENOENT, EOPNOTSUPP } from "../sys/errno.ts";
import type { RdmaDevice, RdmaMode, ResourceCount } from "./kernel.ts";
import type { Counter, RdmaNode } from "./node_kernel.ts";

/** There is none, client or command are unknown, or the device is elsewhere (nldev.c, nldev_get_chardev). */
const NO_CHAR_DEVICE = [ENOENT, ENODEV, EOPNOTSUPP, EINVAL];

export function getMode(socket: NetlinkSocket): RdmaMode {
  const reply = single(socket, "ask for the RDMA namespace mode", nldev.systemRequest());
  return nldev.decodeSharedMode(reply.payload) ? "shared" : "exclusive";
}

/** Changes the namespace mode. The kernel refuses with EBUSY while another network namespace exists. */
export function setMode(socket: NetlinkSocket, mode: RdmaMode): void {
  socket.request(`set the RDMA namespace mode to ${mode}`, nldev.sharedModeRequest(mode === "shared"));
}

export function listDevices(socket: NetlinkSocket): RdmaDevice[] {
  return dump(socket, nldev.decodeDevice);
}

/** The devices with their node GUIDs. */
export function listNodes(socket: NetlinkSocket): RdmaNode[] {
  return dump(socket, nldev.decodeRdmaNode);
}

function dump<T>(socket: NetlinkSocket, decode: (payload: Uint8Array) => T): T[] {
  return socket.request("list RDMA devices", nldev.devicesRequest()).map(({ payload }) => decode(payload));
}

/** A device by its index; the kernel answers EINVAL when it is elsewhere (nldev.c, nldev_get_doit). */
export function getDevice(socket: NetlinkSocket, index: number): RdmaDevice | undefined {
  const what = `look up RDMA device ${index}`;
  const reply = unlessRefused([EINVAL], () => single(socket, what, nldev.deviceRequest(index)));
  return reply && nldev.decodeDevice(reply.payload);
}

/**
 * Moves a device. The calling thread must be in the device's namespace (device.c, rdma_dev_change_netns, compares with
 * that of the sender, not of the socket); up to Linux 7.2 a move to where the device is resets it.
 *
 * @param name its name there. Linux 7.3 moves and renames at once; older kernels only rename, so a device that has not
 *   left is moved by a second message
 */
export function moveDevice(socket: NetlinkSocket, index: number, netnsFd: number, name?: string): void {
  if (name !== undefined) {
    const what = `move RDMA device ${index} under the name ${JSON.stringify(name)}`;
    socket.request(what, nldev.moveDeviceRequest(index, netnsFd, name));
    if (!getDevice(socket, index)) return;
  }
  socket.request(`move RDMA device ${index}`, nldev.moveDeviceRequest(index, netnsFd));
}

export function renameDevice(socket: NetlinkSocket, index: number, name: string): void {
  const what = `rename RDMA device ${index} to ${JSON.stringify(name)}`;
  socket.request(what, nldev.renameDeviceRequest(index, name));
}

/** Makes a Soft-RoCE device on a netdev. It appears in the initial namespace (Linux 6.12 and 7.3). */
export function addSoftRoceDevice(socket: NetlinkSocket, name: string, netdev: string): void {
  const what = `make Soft-RoCE device ${JSON.stringify(name)} on ${JSON.stringify(netdev)}`;
  socket.request(what, nldev.newLinkRequest(name, "rxe", netdev));
}

export function removeSoftRoceDevice(socket: NetlinkSocket, index: number): void {
  socket.request(`remove Soft-RoCE device ${index}`, nldev.deleteLinkRequest(index));
}

/** The uverbs character device of a device, if it is here and has one. */
export function getUverbs(socket: NetlinkSocket, index: number): string | undefined {
  const what = `ask for the uverbs device of RDMA device ${index}`;
  const request = nldev.charDeviceRequest(index, "uverbs");
  const reply = unlessRefused(NO_CHAR_DEVICE, () => single(socket, what, request));
  return reply && nldev.decodeCharDevice(reply.payload);
}

/** The netdev of a device's first port, if both are here. */
export function getNetdev(socket: NetlinkSocket, index: number): string | undefined {
  const what = `ask for the netdev of RDMA device ${index}`;
  const reply = unlessRefused([EINVAL], () => single(socket, what, nldev.portRequest(index, 1)));
  return reply && nldev.decodePortNetdev(reply.payload);
}

export function listResources(socket: NetlinkSocket, index: number): ResourceCount[] {
  const what = `ask for the resources of RDMA device ${index}`;
  return nldev.decodeResources(single(socket, what, nldev.resourcesRequest(index)).payload);
}

/** The hardware counters of a port, if its driver has any and it is here (nldev.c, stat_get_doit_default_counter). */
export function listCounters(socket: NetlinkSocket, index: number, port: number): Counter[] {
  const what = `ask for the counters of port ${port} of RDMA device ${index}`;
  const reply = unlessRefused([EINVAL], () => single(socket, what, nldev.countersRequest(index, port)));
  return reply ? nldev.decodeCounters(reply.payload) : [];
}

function single(socket: NetlinkSocket, what: string, request: Request): Message {
  const [reply] = socket.request(what, request);
  if (!reply) {
    throw new DecodeError(`Cannot ${what}: the kernel acknowledged the request but did not answer it`);
  }
  return reply;
}
