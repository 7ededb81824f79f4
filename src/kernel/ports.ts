/** The ports of RDMA devices and their GID tables, as the sysfs of a network namespace shows them. */
import type { LinkAddress } from "../netlink/rtnl.ts";
import type { IpAddress, Port } from "./kernel.ts";
import { exists, isFileName, list, readText } from "./sysfs.ts";

const NO_GID = "0000:0000:0000:0000:0000:0000:0000:0000";

/**
 * The ports of a device; none when the sysfs does not show it.
 *
 * @param gidLimit how many entries of each GID table are read, which has up to 256
 */
export function listPorts(sysfs: string, name: string, gidLimit: number): Port[] {
  const device = `${sysfs}/class/infiniband/${name}`;
  if (!isFileName(name)) return [];
  return list(`${device}/ports`).map((number) => {
    const port = `${device}/ports/${number}`;
    const state = readText(`${port}/state`) ?? "unknown";
    // iWARP and usNIC devices are on Ethernet too, but are no channel adapters; their GIDs are no IP addresses.
    const isRoce = readText(`${port}/link_layer`) === "Ethernet" &&
      readText(`${device}/node_type`) === "1: CA";
    return {
      number: Number(number),
      state,
      isActive: state === "4: ACTIVE",
      isRoce,
      gids: isRoce ? listGids(port, gidLimit) : [],
      hasMoreGids: isRoce && exists(`${port}/gids/${gidLimit}`),
    };
  });
}

/** An entry that is not in use is all zeros, and its type cannot be read (drivers/infiniband/core/sysfs.c). */
function listGids(port: string, limit: number): Port["gids"] {
  const gids = [];
  for (let index = 0; index < limit; index++) {
    const gid = readText(`${port}/gids/${index}`);
    if (gid === undefined) break;
    if (gid === NO_GID) continue;
    gids.push({ index, gid, isRoceV2: readText(`${port}/gid_attrs/types/${index}`) === "RoCE v2" });
  }
  return gids;
}

/** An IP address with the GID that a RoCE device has for it: IPv4 is mapped to IPv6, `::ffff:10.0.0.2`. */
export function toIpAddress({ bytes }: LinkAddress): IpAddress {
  const isIpv4 = bytes.length === 4;
  const all = isIpv4 ? [...new Array(10).fill(0), 0xff, 0xff, ...bytes] : [...bytes];
  const digits = all.map((byte: number) => byte.toString(16).padStart(2, "0")).join("");
  const gid = digits.match(/.{4}/g)?.join(":") ?? "";
  return { text: isIpv4 ? bytes.join(".") : gid, gid };
}
