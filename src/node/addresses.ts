/**
 * MAC addresses, as text: six bytes in lower case, `02:03:00:00:48:56`. GUIDs, as 64-bit numbers that are
 * written in four groups of four hexadecimal digits.
 */
import { CommandError, ExitCode } from "../cli/errors.ts";

export const NO_MAC = "00:00:00:00:00:00";

const GROUP_BIT = 1;
const LOCAL_BIT = 2;
/**
 * A proper EUI-64 inverts this bit of the address's first byte, as irdma, bnxt_re and hns do; mlx5 does not.
 */
const UNIVERSAL_BIT = 0x02n << 56n;

/**
 * Parses a MAC address that a person typed, with colons or dashes.
 *
 * @throws {CommandError} exit code 2 when it is malformed, zero or a multicast address
 */
export function parseMac(text: string): string {
  const mac = text.toLowerCase().replaceAll("-", ":");
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) {
    throw unusable(text, "it is not a MAC address, want six bytes such as 02:03:00:00:48:56");
  }
  if (mac === NO_MAC) throw unusable(text, "all zeros mean no address");
  if (bytesOf(mac)[0]! & GROUP_BIT) {
    throw unusable(text, "it is a multicast address, want one whose first byte is even");
  }
  return mac;
}

/**
 * The address for a virtual function that has none. It is locally administered and unicast, the same after
 * each reboot, and different for each virtual function, physical function and host:
 *
 * h h V n n n    V: number of the virtual function, n: the last three bytes of the physical function's
 * address,
 *                  h: a hash of its first three bytes, which name the vendor, in 14 bits
 *
 * So the first 256 virtual functions of one vendor's adapters cannot have the same address; all others are
 * unlikely to.
 *
 * @param pfMac the permanent address of the physical function
 */
export function deriveMac(pfMac: string, number: number): string {
  const [a = 0, b = 0, c = 0, ...own] = bytesOf(pfMac);
  const hash = hash14([a, b, c, number >> 8]);
  const first = (hash >> 8) << 2 | LOCAL_BIT;
  const bytes = [first, hash & 0xff, number & 0xff, ...own];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/**
 * Parses a GUID that a person typed: 16 hexadecimal digits, in groups or not.
 *
 * @throws {CommandError} exit code 2 when it is malformed or zero
 */
export function parseGuid(text: string): bigint {
  const digits = text.toLowerCase().replace(/^0x/, "").replaceAll(/[:-]/g, "");
  const isGuid = /^[0-9a-f]{16}$/.test(digits);
  if (isGuid && BigInt(`0x${digits}`) !== 0n) return BigInt(`0x${digits}`);
  const reason = isGuid ? "zero means no GUID" : "want 16 hexadecimal digits";
  throw new CommandError(
    `Cannot use GUID ${JSON.stringify(text)}: ${reason}`,
    undefined,
    ExitCode.usage,
  );
}

/** A GUID as `rdma dev` writes it: `0203:00ff:fe00:4856`. */
export function formatGuid(guid: bigint): string {
  return guid.toString(16).padStart(16, "0").replaceAll(/(?<=.)(?=(....)+$)/g, ":");
}

/**
 * The port GUID in the address of an IPoIB netdev: the last 8 of its 20 bytes, after flags, queue pair number
 * and subnet prefix (RFC 4391, 9.1.1). Undefined for other addresses.
 */
export function portGuidOf(address: string): bigint | undefined {
  const bytes = address.split(":");
  return bytes.length === 20 ? BigInt(`0x${bytes.slice(-8).join("")}`) : undefined;
}

/**
 * The node GUID that mlx5 derives from a MAC address (mlx5_core, node_guid_gen_from_mac): ff fe in the
 * middle.
 */
export function guidOfMac(mac: string): bigint {
  const digits = mac.replaceAll(":", "");
  return BigInt(`0x${digits.slice(0, 6)}fffe${digits.slice(6)}`);
}

/**
 * Whether a function with a MAC address can have a node GUID. mlx5 must have derived it from that address.
 * GUIDs of other drivers do not match only if they were derived, as an EUI-64, from another address.
 */
export function matchesMac(guid: bigint, mac: string, driver: string | undefined): boolean {
  const wanted = guidOfMac(mac);
  if (guid === wanted) return true;
  if (driver === "mlx5_core" || guid === 0n) return false;
  const isDerived = (guid >> 24n & 0xffffn) === 0xfffen;
  return !isDerived || guid === (wanted ^ UNIVERSAL_BIT);
}

function bytesOf(mac: string): number[] {
  return mac.split(":").map((part) => parseInt(part, 16));
}

/** FNV-1a, folded to 14 bits. */
function hash14(bytes: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return (hash >>> 14 ^ hash >>> 28 ^ hash) & 0x3fff;
}

function unusable(text: string, reason: string): CommandError {
  return new CommandError(
    `Cannot use MAC address ${JSON.stringify(text)}: ${reason}`,
    undefined,
    ExitCode.usage,
  );
}
