/** The ports of RDMA devices and their GID tables, as the sysfs of a network namespace shows them. */
import { viewOf } from "../netlink/attribute.ts";
import type { LinkAddress } from "../netlink/rtnl.ts";
import { openForReading } from "../sys/fd.ts";
import { ifPresent } from "../sys/files.ts";
import type { IpAddress, OpenPorts, Port } from "./kernel.ts";
import { exists, isFileName, list, readText } from "./sysfs.ts";

const NO_GID = "0000:0000:0000:0000:0000:0000:0000:0000";

/**
 * Opens the ports of a device; undefined when the sysfs does not show it. A move changes where the device's directory
 * is, but not what it is (fs/kernfs/dir.c, kernfs_rename_ns), so that what is below it can still be read.
 */
export function openPorts(sysfs: string, name: string): OpenPorts | undefined {
  if (!isFileName(name)) return undefined;
  const device = ifPresent(() => openForReading(`${sysfs}/class/infiniband/${name}`));
  if (!device) return undefined;
  return {
    list: (gidLimit) => listPorts(`/proc/self/fd/${device.number}`, gidLimit),
    [Symbol.dispose]: () => device[Symbol.dispose](),
  };
}

/** The ports of a device. @param device its directory in sysfs */
export function listPorts(device: string, gidLimit: number): Port[] {
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

/** Tables have up to 256 entries. One that is not in use is all zeros, and its type cannot be read (drivers/infiniband/core/sysfs.c). */
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
  const all = isIpv4 ? Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes) : bytes;
  const words = Array.from({ length: all.length / 2 }, (_, word) => viewOf(all).getUint16(2 * word));
  const gid = words.map((word) => word.toString(16).padStart(4, "0")).join(":");
  return { text: isIpv4 ? bytes.join(".") : gid, gid };
}
