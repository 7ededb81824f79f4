/** Network links by route netlink: uapi linux/rtnetlink.h, if_link.h, if_addr.h and if.h. */
import {
  type Attribute,
  type Attributes,
  decodeAttributes,
  getBytes,
  getNested,
  getText,
  getU32,
  nest,
  text,
  u32,
  viewOf,
} from "./attribute.ts";
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, type Request } from "./message.ts";
import { DecodeError } from "./error.ts";

const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
const RTM_GETADDR = 22;

/** uapi linux/if_arp.h: the type of IPoIB interfaces. */
const ARPHRD_INFINIBAND = 32;

/** sizeof(struct ifinfomsg): family u8, pad u8, type u16, index s32, flags u32, change u32. */
const IFINFOMSG_LENGTH = 16;

/** sizeof(struct ifaddrmsg): family u8, prefixlen u8, flags u8, scope u8, index u32. */
const IFADDRMSG_LENGTH = 8;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_NUM_VF = 21;
const IFLA_VFINFO_LIST = 22;
const IFLA_EXT_MASK = 29;
const IFLA_PERM_ADDRESS = 54;
const IFLA_PARENT_DEV_NAME = 56;

const IFLA_VF_INFO = 1;
const IFLA_VF_MAC = 1;
const IFLA_VF_IB_NODE_GUID = 10;
const IFLA_VF_IB_PORT_GUID = 11;
/** sizeof(struct ifla_vf_guid): vf u32, 4 bytes of padding, guid u64. */
const IFLA_VF_GUID_LENGTH = 16;
/** sizeof(struct ifla_vf_mac): vf u32, then 32 bytes of address. */
const IFLA_VF_MAC_LENGTH = 36;
const ETH_ALEN = 6;

const IFF_UP = 1;
const IFF_LOWER_UP = 1 << 16;

const RTEXT_FILTER_VF = 1;
const RTEXT_FILTER_SKIP_STATS = 8;

/** Without SKIP_STATS each VF would add its counters. */
const WITH_VFS = u32(IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);

/** A network link. `parentDevice` is the PCI address or auxiliary device below it (kernel 5.14). */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly parentDevice?: string;
  /** An IPoIB interface. */
  readonly isInfiniBand: boolean;
  /** For an SR-IOV physical function: the administrative addresses of its virtual functions, by VF number. */
  readonly vfMacs: ReadonlyMap<number, string>;
}

/** A network link with what only commands need. */
export interface LinkDetails extends Link {
  /** It is set up; it may have no carrier. */
  readonly isEnabled: boolean;
  /** It is up and has a carrier. */
  readonly isUp: boolean;
  readonly mtu?: number;
  readonly address?: string;
  /** The address the hardware came with (kernel 5.6). */
  readonly permanentAddress?: string;
  /** For an InfiniBand physical function: the administrative GUIDs of its virtual functions, by VF number. */
  readonly vfGuids: ReadonlyMap<number, VfGuids>;
}

/** The administrative GUIDs of a virtual function; 0 where none was set. */
export interface VfGuids {
  readonly node: bigint;
  readonly port: bigint;
}

/** Asks for one link by its name. */
export function linkRequest(name: string): Request {
  return request([text(IFLA_IFNAME, name)]);
}

/** Asks for one link by its name, a physical function with its VFs. */
export function linkWithVfsRequest(name: string): Request {
  return request([text(IFLA_IFNAME, name), WITH_VFS]);
}

/** Asks for all links, physical functions with their VFs. */
export function linksRequest(): Request {
  return request([WITH_VFS], NLM_F_DUMP);
}

/** Sets the administrative address of a virtual function, which its driver takes when it binds. */
export function vfMacRequest(pfIndex: number, vf: number, mac: Uint8Array): Request {
  const value = new Uint8Array(IFLA_VF_MAC_LENGTH);
  viewOf(value).setUint32(0, vf, true);
  value.set(mac, 4);
  return setVf(pfIndex, { type: IFLA_VF_MAC, value });
}

/**
 * Sets the node or the port GUID of a virtual function of an InfiniBand port. Each needs a request: the kernel
 * ignores what follows a node GUID (net/core/rtnetlink.c, do_setvfinfo).
 */
export function vfGuidRequest(pfIndex: number, vf: number, kind: keyof VfGuids, guid: bigint): Request {
  const value = new Uint8Array(IFLA_VF_GUID_LENGTH);
  viewOf(value).setUint32(0, vf, true);
  viewOf(value).setBigUint64(8, guid, true);
  return setVf(pfIndex, { type: kind === "node" ? IFLA_VF_IB_NODE_GUID : IFLA_VF_IB_PORT_GUID, value });
}

/** Asks for the IP addresses of all links, IPv4 and IPv6. */
export function addressesRequest(): Request {
  return {
    type: RTM_GETADDR,
    flags: NLM_F_REQUEST | NLM_F_DUMP,
    body: new Uint8Array(IFADDRMSG_LENGTH),
    attributes: [],
  };
}

/**
 * Decodes one RTM_NEWLINK.
 *
 * @throws {DecodeError} when the fixed structure is cut off, the name is missing, or a value has a wrong size
 */
export function decodeLink(payload: Uint8Array): Link {
  if (payload.length < IFINFOMSG_LENGTH) {
    throw new DecodeError(`Cannot decode link: ${payload.length} bytes, want at least ${IFINFOMSG_LENGTH}`);
  }
  const attributes = decodeAttributes(payload.subarray(IFINFOMSG_LENGTH));
  const name = getText(attributes, IFLA_IFNAME);
  if (!name) throw new DecodeError("Cannot decode link: name is missing");
  const parentDevice = getText(attributes, IFLA_PARENT_DEV_NAME);
  const view = viewOf(payload);
  return {
    index: view.getInt32(4, true),
    name,
    ...(parentDevice === undefined ? {} : { parentDevice }),
    isInfiniBand: view.getUint16(2, true) === ARPHRD_INFINIBAND,
    vfMacs: getU32(attributes, IFLA_NUM_VF) ? decodeVfMacs(attributes) : new Map(),
  };
}

/** Decodes one RTM_NEWLINK with what only commands need. @throws {DecodeError} as decodeLink does */
export function decodeLinkDetails(payload: Uint8Array): LinkDetails {
  const link = decodeLink(payload);
  const attributes = decodeAttributes(payload.subarray(IFINFOMSG_LENGTH));
  const flags = viewOf(payload).getUint32(8, true);
  const mtu = getU32(attributes, IFLA_MTU);
  const address = getBytes(attributes, IFLA_ADDRESS);
  const permanentAddress = getBytes(attributes, IFLA_PERM_ADDRESS);
  const vfGuids = new Map<number, VfGuids>();
  for (const entry of getNested(attributes, IFLA_VFINFO_LIST).get(IFLA_VF_INFO) ?? []) {
    const info = decodeAttributes(entry);
    const [node, port] = [IFLA_VF_IB_NODE_GUID, IFLA_VF_IB_PORT_GUID].map((type) => getBytes(info, type));
    if (node?.length !== IFLA_VF_GUID_LENGTH || port?.length !== IFLA_VF_GUID_LENGTH) continue;
    const guids = { node: viewOf(node).getBigUint64(8, true), port: viewOf(port).getBigUint64(8, true) };
    vfGuids.set(viewOf(node).getUint32(0, true), guids);
  }
  return {
    ...link,
    isEnabled: (flags & IFF_UP) !== 0,
    isUp: (flags & IFF_UP) !== 0 && (flags & IFF_LOWER_UP) !== 0,
    ...(mtu === undefined ? {} : { mtu }),
    ...(address === undefined ? {} : { address: formatMac(address) }),
    ...(permanentAddress === undefined ? {} : { permanentAddress: formatMac(permanentAddress) }),
    vfGuids,
  };
}

/** An IP address of a link. */
export interface LinkAddress {
  /** Index of the link. */
  readonly link: number;
  /** 4 or 16 bytes; empty when the kernel did not say. */
  readonly bytes: Uint8Array;
}

/**
 * Decodes one RTM_NEWADDR. Where a peer is set, IFA_ADDRESS is the peer's address and IFA_LOCAL the link's.
 *
 * @throws {DecodeError} when it is cut off
 */
export function decodeAddress(payload: Uint8Array): LinkAddress {
  if (payload.length < IFADDRMSG_LENGTH) {
    throw new DecodeError(
      `Cannot decode address: ${payload.length} bytes, want at least ${IFADDRMSG_LENGTH}`,
    );
  }
  const attributes = decodeAttributes(payload.subarray(IFADDRMSG_LENGTH));
  const bytes = getBytes(attributes, IFA_LOCAL) ?? getBytes(attributes, IFA_ADDRESS) ?? new Uint8Array();
  return { link: viewOf(payload).getUint32(4, true), bytes };
}

function request(attributes: Request["attributes"], flags = 0): Request {
  return {
    type: RTM_GETLINK,
    flags: NLM_F_REQUEST | flags,
    body: new Uint8Array(IFINFOMSG_LENGTH),
    attributes,
  };
}

function setVf(pfIndex: number, attribute: Attribute): Request {
  const body = new Uint8Array(IFINFOMSG_LENGTH);
  viewOf(body).setInt32(4, pfIndex, true);
  return {
    type: RTM_SETLINK,
    flags: NLM_F_REQUEST | NLM_F_ACK,
    body,
    attributes: [nest(IFLA_VFINFO_LIST, nest(IFLA_VF_INFO, attribute))],
  };
}

/** The number inside each entry says which VF it is, not its place in the list. */
function decodeVfMacs(attributes: Attributes): Map<number, string> {
  const macs = new Map<number, string>();
  for (const entry of getNested(attributes, IFLA_VFINFO_LIST).get(IFLA_VF_INFO) ?? []) {
    const mac = getBytes(decodeAttributes(entry), IFLA_VF_MAC);
    if (!mac) continue;
    if (mac.length !== IFLA_VF_MAC_LENGTH) {
      throw new DecodeError(`Cannot decode VF address: ${mac.length} bytes, want ${IFLA_VF_MAC_LENGTH}`);
    }
    macs.set(viewOf(mac).getUint32(0, true), formatMac(mac.subarray(4, 4 + ETH_ALEN)));
  }
  return macs;
}

/** An address as text, `02:03:00:00:48:56`. */
function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
