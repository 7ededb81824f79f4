/** Network links by route netlink. */
import { decodeLink, getLink as getLinkRequest, getLinkWithVfs, type Link } from "../netlink/rtnl.ts";
import { ENODEV, NetlinkError } from "./error.ts";
import type { VirtualFunction } from "./kernel.ts";
import type { NetlinkSocket } from "./netlink_socket.ts";
import { getVfDeviceId, listPfNetdevs } from "./sysfs.ts";

/** uapi linux/if.h (IFNAMSIZ), less the NUL. */
const LONGEST_NAME = 15;

/** A link of the socket's namespace by name, or undefined. What no link can be called is not asked for. */
export function getLink(socket: NetlinkSocket, name: string): Link | undefined {
  if (name.includes("\0") || new TextEncoder().encode(name).length > LONGEST_NAME) return undefined;
  try {
    const [reply] = socket.request(`look up link ${JSON.stringify(name)}`, getLinkRequest(name));
    return reply && decodeLink(reply.payload);
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ENODEV) return undefined;
    throw error;
  }
}

/**
 * The virtual functions of all physical functions in the socket's namespace, with their administrative addresses. Only
 * links of physical functions are asked for: a node can have a thousand others.
 */
export function listVirtualFunctions(socket: NetlinkSocket): VirtualFunction[] {
  return listPfNetdevs().flatMap((pf) => {
    const what = `look up the virtual functions of ${JSON.stringify(pf)}`;
    const vfMacs = socket.request(what, getLinkWithVfs(pf)).flatMap((
      { payload },
    ) => [...decodeLink(payload).vfMacs]);
    return vfMacs.flatMap(([number, mac]) => {
      const deviceId = getVfDeviceId(pf, number);
      return deviceId === undefined ? [] : [{ pf, number, mac, deviceId }];
    });
  });
}
