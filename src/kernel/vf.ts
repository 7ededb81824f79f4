/** Physical and virtual functions by netlink. */
import { NETLINK_RDMA, NETLINK_ROUTE } from "../netlink/constants.ts";
import { decodeRdmaNode } from "../netlink/nldev_admin.ts";
import { listDevices } from "../netlink/nldev.ts";
import { listLinks } from "../netlink/rtnl.ts";
import {
  decodeAddressLink,
  decodeLinkDetails,
  listAddresses,
  setVfGuid as vfGuid,
  setVfMac as vfMac,
} from "../netlink/rtnl_admin.ts";
import type { Netns } from "./kernel.ts";
import { NetlinkSocket } from "./netlink_socket.ts";
import { within } from "./netns.ts";
import { getVfDeviceId } from "./sysfs.ts";
import { getPfDeviceId } from "./sysfs_vf.ts";
import type { LinkDetails, PhysicalFunction, RdmaNode } from "./vf_kernel.ts";

/** The links of a namespace. */
export function listLinksIn(netns: Netns): LinkDetails[] {
  using socket = open(netns, NETLINK_ROUTE);
  return socket.request("list links", listLinks()).map(({ payload }) => decodeLinkDetails(payload));
}

/** The RDMA devices of a namespace with their node GUIDs. */
export function listRdmaNodes(netns: Netns): RdmaNode[] {
  using socket = open(netns, NETLINK_RDMA);
  return socket.request("list RDMA devices", listDevices()).map(({ payload }) => decodeRdmaNode(payload));
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
  socket.request(`give VF ${number} of "${pf.name}" the MAC address ${mac}`, vfMac(pf.index, number, bytes));
}

/** Sets node and port GUID of a virtual function of an InfiniBand port. */
export function setVfGuid(host: Netns, pf: PhysicalFunction, number: number, guid: bigint): void {
  using socket = open(host, NETLINK_ROUTE);
  const digits = guid.toString(16).padStart(16, "0");
  for (const kind of ["node", "port"] as const) {
    const what = `give VF ${number} of "${pf.name}" the ${kind} GUID ${digits}`;
    socket.request(what, vfGuid(pf.index, number, kind, guid));
  }
}

/** Indexes of the links of a namespace that have an IP address. */
export function listAddressedLinks(netns: Netns): Set<number> {
  using socket = open(netns, NETLINK_ROUTE);
  const addresses = socket.request("list IP addresses", listAddresses());
  return new Set(addresses.map(({ payload }) => decodeAddressLink(payload)));
}

function open(netns: Netns, protocol: number): NetlinkSocket {
  return within(netns, () => new NetlinkSocket(protocol));
}
