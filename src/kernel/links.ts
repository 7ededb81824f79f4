/** Network links by route netlink. */
/** Physical and virtual functions by netlink. */
import { NETLINK_RDMA, NETLINK_ROUTE, NetlinkSocket } from "../netlink/socket.ts";
import { NetlinkError } from "../netlink/error.ts";
import { decodeRdmaNode, devicesRequest } from "../netlink/nldev.ts";
import {
  addressesRequest,
  decodeAddressLink,
  decodeLink,
  decodeLinkDetails,
  type Link,
  linkRequest,
  linksRequest,
  linkWithVfsRequest,
  vfGuidRequest,
  vfMacRequest,
} from "../netlink/rtnl.ts";
import { ENODEV } from "../sys/errno.ts";
import { inNetns } from "../sys/netns.ts";
import { getPfDeviceId } from "./functions.ts";
import type { LinkDetails, Netns, PhysicalFunction, RdmaNode, VirtualFunction } from "./kernel.ts";
import { getVfDeviceId, listPfNetdevs } from "./sysfs.ts";

/** uapi linux/if.h (IFNAMSIZ), less the NUL. */
const LONGEST_NAME = 15;

/** A link of the socket's namespace by name, or undefined. What no link can be called is not asked for. */
export function getLink(socket: NetlinkSocket, name: string): Link | undefined {
  if (name.includes("\0") || new TextEncoder().encode(name).length > LONGEST_NAME) return undefined;
  try {
    const [reply] = socket.request(`look up link ${JSON.stringify(name)}`, linkRequest(name));
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
    const vfMacs = socket.request(what, linkWithVfsRequest(pf)).flatMap((
      { payload },
    ) => [...decodeLink(payload).vfMacs]);
    return vfMacs.flatMap(([number, mac]) => {
      const deviceId = getVfDeviceId(pf, number);
      return deviceId === undefined ? [] : [{ pf, number, mac, deviceId }];
    });
  });
}

/** The links of a namespace. */
export function listLinksIn(netns: Netns): LinkDetails[] {
  using socket = open(netns, NETLINK_ROUTE);
  return socket.request("list links", linksRequest()).map(({ payload }) => decodeLinkDetails(payload));
}

/** The RDMA devices of a namespace with their node GUIDs. */
export function listRdmaNodes(netns: Netns): RdmaNode[] {
  using socket = open(netns, NETLINK_RDMA);
  return socket.request("list RDMA devices", devicesRequest()).map(({ payload }) => decodeRdmaNode(payload));
}

/**
 * The netdevs whose PCI function has, or could have, virtual functions. In switchdev mode the representors of the
 * virtual functions hang on that PCI function too; they have no list of virtual functions.
 */
export function listPhysicalFunctions(host: Netns): PhysicalFunction[] {
  return listLinksIn(host).flatMap((link): PhysicalFunction[] => {
    const deviceId = getPfDeviceId(link.name);
    if (deviceId === undefined) return [];
    // The kernel shows a MAC address of each VF, on InfiniBand too (net/core/rtnetlink.c, rtnl_fill_vfinfo).
    const vfs = [...link.vfMacs].flatMap(([number, mac]) => {
      const vf = getVfDeviceId(link.name, number);
      const guids = link.vfGuids.get(number);
      return vf === undefined
        ? []
        : [{ number, deviceId: vf, mac, ...(guids === undefined ? {} : { guids }) }];
    });
    return [{
      name: link.name,
      index: link.index,
      deviceId,
      isInfiniBand: link.isInfiniBand,
      isUp: link.isUp,
      ...(link.address === undefined ? {} : { address: link.address }),
      ...(link.permanentAddress === undefined ? {} : { permanentAddress: link.permanentAddress }),
      vfs,
    }];
  });
}

/** Sets the administrative address of a virtual function; its driver takes it when it binds. */
export function setVfMac(host: Netns, pf: PhysicalFunction, number: number, mac: string): void {
  const bytes = Uint8Array.from(mac.split(":"), (part) => parseInt(part, 16));
  using socket = open(host, NETLINK_ROUTE);
  socket.request(
    `give VF ${number} of "${pf.name}" the MAC address ${mac}`,
    vfMacRequest(pf.index, number, bytes),
  );
}

/** Sets node and port GUID of a virtual function of an InfiniBand port. */
export function setVfGuid(host: Netns, pf: PhysicalFunction, number: number, guid: bigint): void {
  using socket = open(host, NETLINK_ROUTE);
  const digits = guid.toString(16).padStart(16, "0");
  for (const kind of ["node", "port"] as const) {
    const what = `give VF ${number} of "${pf.name}" the ${kind} GUID ${digits}`;
    socket.request(what, vfGuidRequest(pf.index, number, kind, guid));
  }
}

/** Indexes of the links of a namespace that have an IP address. */
export function listAddressedLinks(netns: Netns): Set<number> {
  using socket = open(netns, NETLINK_ROUTE);
  const addresses = socket.request("list IP addresses", addressesRequest());
  return new Set(addresses.map(({ payload }) => decodeAddressLink(payload)));
}

function open(netns: Netns, protocol: number): NetlinkSocket {
  return inNetns(netns, () => new NetlinkSocket(protocol));
}
