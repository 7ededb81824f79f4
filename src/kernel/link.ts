/** Network links by route netlink. */
import { decodeLink, getLink as getLinkRequest, type Link, listLinks } from "../netlink/rtnl.ts";
import { ENODEV, NetlinkError } from "./error.ts";
import type { VirtualFunction } from "./kernel.ts";
import type { NetlinkSocket } from "./netlink_socket.ts";
import { getVfDeviceId } from "./sysfs.ts";

/** A link of the socket's namespace by name, or undefined. */
export function getLink(socket: NetlinkSocket, name: string): Link | undefined {
  try {
    const [reply] = socket.request(`look up link ${JSON.stringify(name)}`, getLinkRequest(name));
    return reply && decodeLink(reply.payload);
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ENODEV) return undefined;
    throw error;
  }
}

/** The virtual functions of all physical functions in the socket's namespace, with their administrative addresses. */
export function listVirtualFunctions(socket: NetlinkSocket): VirtualFunction[] {
  const links = socket.request("list links", listLinks()).map((message) => decodeLink(message.payload));
  return links.flatMap(({ name: pf, vfMacs }) =>
    [...vfMacs].flatMap(([number, mac]) => {
      const deviceId = getVfDeviceId(pf, number);
      return deviceId === undefined ? [] : [{ pf, number, mac, deviceId }];
    })
  );
}
