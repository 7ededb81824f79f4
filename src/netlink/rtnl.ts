/** Network links by route netlink: uapi linux/rtnetlink.h and linux/if_link.h. */
import {
  type Attributes,
  decodeAttributes,
  getBytes,
  getNested,
  getText,
  getU32,
  text,
  u32,
  viewOf,
} from "./attribute.ts";
import { NLM_F_DUMP, NLM_F_REQUEST } from "./constants.ts";
import { DecodeError } from "./error.ts";
import type { Request } from "./message.ts";

const RTM_GETLINK = 18;

/** uapi linux/if_arp.h: what ib_ipoib gives its interfaces. */
const ARPHRD_INFINIBAND = 32;

/** sizeof(struct ifinfomsg): family u8, pad u8, type u16, index s32, flags u32, change u32. */
export const IFINFOMSG_LENGTH = 16;

const IFLA_IFNAME = 3;
const IFLA_NUM_VF = 21;
export const IFLA_VFINFO_LIST = 22;
const IFLA_EXT_MASK = 29;
const IFLA_PARENT_DEV_NAME = 56;

export const IFLA_VF_INFO = 1;
export const IFLA_VF_MAC = 1;
/** sizeof(struct ifla_vf_mac): vf u32, then 32 bytes of address. */
export const IFLA_VF_MAC_LENGTH = 36;
const ETH_ALEN = 6;

const RTEXT_FILTER_VF = 1;
const RTEXT_FILTER_SKIP_STATS = 8;

/** Without SKIP_STATS each VF would add its counters too. */
const WITH_VFS = u32(IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);

/** A network link. `parentDevice` is the PCI address or auxiliary device below it (kernel 5.14). */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly parentDevice?: string;
  /** An IPoIB interface. */
  readonly isInfiniBand: boolean;
  /** For an SR-IOV physical function: its virtual functions' administrative addresses by VF number. */
  readonly vfMacs: ReadonlyMap<number, string>;
}

/** Asks for one link by its name. */
export function getLink(name: string): Request {
  return request([text(IFLA_IFNAME, name)]);
}

/** Asks for one link by its name, a physical function with its VFs. */
export function getLinkWithVfs(name: string): Request {
  return request([text(IFLA_IFNAME, name), WITH_VFS]);
}

/** Asks for all links, physical functions with their VFs. */
export function listLinks(): Request {
  return request([WITH_VFS], NLM_F_DUMP);
}

/**
 * Reads one RTM_NEWLINK.
 *
 * @throws {DecodeError} when the fixed structure is cut off, the name is missing, or a value has the wrong size
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

/** VFs are told apart by the number inside each entry, not by its place in the list. */
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
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function request(attributes: Request["attributes"], flags = 0): Request {
  return {
    type: RTM_GETLINK,
    flags: NLM_F_REQUEST | flags,
    body: new Uint8Array(IFINFOMSG_LENGTH),
    attributes,
  };
}
