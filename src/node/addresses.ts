/** MAC addresses, as text: six bytes in lower case, `02:03:00:00:48:56`; and GUIDs, as 64-bit numbers. */
export const NO_MAC = "00:00:00:00:00:00";

const LOCAL_BIT = 2;
/** A proper EUI-64 inverts this bit of the address's first byte, as irdma, bnxt_re and hns do, not mlx5. */
const UNIVERSAL_BIT = 0x02n << 56n;

/**
 * Derives the address for a virtual function that has none. It is locally administered and unicast, the same after
 * each reboot, and different for each virtual function, physical function and host:
 *
 *     h h V n n n    V: number of the virtual function, n: the last three bytes of the physical function's address,
 *                    h: a hash of its first three bytes, which name the vendor, in 14 bits
 *
 * So the first 256 virtual functions of one vendor's adapters cannot have the same address; all others are
 * unlikely to.
 *
 * @param pfMac the permanent address of the physical function
 */
export function deriveMac(pfMac: string, number: number): string {
  const [a = 0, b = 0, c = 0, ...own] = parseBytes(pfMac);
  const hash = hash14([a, b, c, number >> 8]);
  const first = (hash >> 8) << 2 | LOCAL_BIT;
  const bytes = [first, hash & 0xff, number & 0xff, ...own];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Formats a GUID as `rdma dev` writes it: `0203:00ff:fe00:4856`. */
export function formatGuid(guid: bigint): string {
  return guid.toString(16).padStart(16, "0").replaceAll(/(?<=.)(?=(....)+$)/g, ":");
}

/**
 * Parses the port GUID in the address of an IPoIB netdev: the last 8 of its 20 bytes, after flags, queue pair number
 * and subnet prefix (RFC 4391, 9.1.1). Undefined for other addresses.
 */
export function parsePortGuid(address: string): bigint | undefined {
  const bytes = address.split(":");
  return bytes.length === 20 ? BigInt(`0x${bytes.slice(-8).join("")}`) : undefined;
}

/** Derives a node GUID from a MAC address as mlx5 does, by ff fe in the middle (node_guid_gen_from_mac). */
export function deriveGuid(mac: string): bigint {
  const digits = mac.replaceAll(":", "");
  return BigInt(`0x${digits.slice(0, 6)}fffe${digits.slice(6)}`);
}

/**
 * Tells whether a function with a MAC address can have a node GUID. mlx5 must have derived it from that address.
 * GUIDs of other drivers do not match only if they were derived, as an EUI-64, from another address.
 */
export function matchesMac(guid: bigint, mac: string, driver: string | undefined): boolean {
  const wanted = deriveGuid(mac);
  if (guid === wanted) return true;
  if (driver === "mlx5_core" || guid === 0n) return false;
  const isDerived = (guid >> 24n & 0xffffn) === 0xfffen;
  return !isDerived || guid === (wanted ^ UNIVERSAL_BIT);
}

function parseBytes(mac: string): number[] {
  return mac.split(":").map((part) => parseInt(part, 16));
}

/** FNV-1a, folded to 14 bits. */
function hash14(bytes: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return (hash >>> 14 ^ hash >>> 28 ^ hash) & 0x3fff;
}
