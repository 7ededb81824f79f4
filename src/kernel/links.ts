/** Network links, and SR-IOV functions by their links, by route netlink: those of the socket's namespace. */
import { unlessRefused } from "../netlink/error.ts";
import {
  addressesRequest,
  decodeAddress,
  decodeLink,
  decodeLinkDetails,
  type Link,
  type LinkAddress,
  linkRequest,
  linksRequest,
  linkWithVfsRequest,
  vfGuidRequest,
  vfMacRequest,
} from "../netlink/rtnl.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { ENODEV } from "../sys/errno.ts";
import type { VirtualFunction } from "./kernel.ts";
import type { LinkDetails, PhysicalFunction } from "./node_kernel.ts";
import { getPfDeviceId, getVfDeviceId, listPfNetdevs } from "./pci.ts";

/** uapi linux/if.h (IFNAMSIZ), less the NUL. */
const LONGEST_NAME = 15;

/** A link by name, or undefined. Does not ask for names that no link can have. */
export function getLink(socket: NetlinkSocket, name: string): Link | undefined {
  if (name.includes("\0") || new TextEncoder().encode(name).length > LONGEST_NAME) return undefined;
  const what = `look up link ${JSON.stringify(name)}`;
  const [reply] = unlessRefused([ENODEV], () => socket.request(what, linkRequest(name))) ?? [];
  return reply && decodeLink(reply.payload);
}

/** The virtual functions, by the links of physical functions alone: a node can have a thousand others. */
export function listVirtualFunctions(socket: NetlinkSocket): VirtualFunction[] {
  return listPfNetdevs().flatMap((pf) => {
    const what = `look up the virtual functions of ${JSON.stringify(pf)}`;
    const replies = socket.request(what, linkWithVfsRequest(pf));
    return replies.flatMap(({ payload }) => [...decodeLink(payload).vfMacs]).flatMap(([number, mac]) => {
      const deviceId = getVfDeviceId(pf, number);
      return deviceId === undefined ? [] : [{ pf, number, mac, deviceId }];
    });
  });
}

export function listLinks(socket: NetlinkSocket): LinkDetails[] {
  return socket.request("list links", linksRequest()).map(({ payload }) => decodeLinkDetails(payload));
}

/** The physical functions: in switchdev mode also representors, which belong to the same PCI function. */
export function listPhysicalFunctions(socket: NetlinkSocket): PhysicalFunction[] {
  return listLinks(socket).flatMap((link): PhysicalFunction[] => {
    const deviceId = getPfDeviceId(link.name);
    if (deviceId === undefined) return [];
    // Each VF has a MAC address here, also on InfiniBand (net/core/rtnetlink.c, rtnl_fill_vfinfo).
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
      isEnabled: link.isEnabled,
      isUp: link.isUp,
      ...(link.mtu === undefined ? {} : { mtu: link.mtu }),
      ...(link.address === undefined ? {} : { address: link.address }),
      ...(link.permanentAddress === undefined ? {} : { permanentAddress: link.permanentAddress }),
      vfs,
    }];
  });
}

export function setVfMac(socket: NetlinkSocket, pf: PhysicalFunction, number: number, mac: string): void {
  const bytes = Uint8Array.from(mac.split(":"), (part) => parseInt(part, 16));
  const what = `set the MAC address of VF ${number} of "${pf.name}" to ${mac}`;
  socket.request(what, vfMacRequest(pf.index, number, bytes));
}

export function setVfGuid(socket: NetlinkSocket, pf: PhysicalFunction, number: number, guid: bigint): void {
  const digits = guid.toString(16).padStart(16, "0");
  for (const kind of ["node", "port"] as const) {
    const what = `set the ${kind} GUID of VF ${number} of "${pf.name}" to ${digits}`;
    socket.request(what, vfGuidRequest(pf.index, number, kind, guid));
  }
}

/** Indexes of the links that have an IP address. */
export function listAddressedLinks(socket: NetlinkSocket): Set<number> {
  return new Set(listAddresses(socket).map(({ link }) => link));
}

export function listAddresses(socket: NetlinkSocket): LinkAddress[] {
  return socket.request("list IP addresses", addressesRequest()).map(({ payload }) => decodeAddress(payload));
}
