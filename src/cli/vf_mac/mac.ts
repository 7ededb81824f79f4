/** MAC addresses as text: six bytes in lower case, `02:03:00:00:48:56`. */
/** Node GUIDs: 64-bit numbers, written as four groups of four hexadecimal digits. */
import { CommandError, ExitCode } from "../errors.ts";

export const NO_MAC = "00:00:00:00:00:00";

const GROUP_BIT = 1;
const LOCAL_BIT = 2;

/**
 * Reads an address that a person typed, with colons or dashes.
 *
 * @throws {CommandError} exit code 2 when it is malformed, zero or a multicast address
 */
export function parseMac(text: string): string {
  const mac = text.toLowerCase().replaceAll("-", ":");
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) {
    throw unusable(text, "it is no MAC address, want six bytes such as 02:03:00:00:48:56");
  }
  if (mac === NO_MAC) throw unusable(text, "all zeros mean that there is none");
  if (bytesOf(mac)[0]! & GROUP_BIT) {
    throw unusable(text, "it is a multicast address, want one whose first byte is even");
  }
  return mac;
}

/**
 * The address a virtual function gets that has none of its own. It is locally administered and unicast, the same after
 * every reboot, and different between virtual functions, between physical functions and between hosts:
 *
 *   h h V n n n    V: number of the virtual function, n: the last three bytes of the physical function's address,
 *                  h: 14 bits that stand for its first three bytes, which name the maker
 *
 * So of adapters of one maker no two of the first 256 virtual functions can have the same; otherwise it is improbable.
 *
 * @param pfMac the permanent address of the physical function
 */
export function deriveMac(pfMac: string, number: number): string {
  const [a = 0, b = 0, c = 0, ...own] = bytesOf(pfMac);
  const hash = hash14([a, b, c, number >> 8]);
  const first = (hash >> 8) << 2 | LOCAL_BIT;
  return [first, hash & 0xff, number & 0xff, ...own].map((byte) => byte.toString(16).padStart(2, "0")).join(
    ":",
  );
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

/**
 * Reads a GUID that a person typed: 16 hexadecimal digits, in groups or not.
 *
 * @throws {CommandError} exit code 2 when it is malformed or zero
 */
export function parseGuid(text: string): bigint {
  const digits = text.toLowerCase().replace(/^0x/, "").replaceAll(/[:-]/g, "");
  const isGuid = /^[0-9a-f]{16}$/.test(digits);
  if (isGuid && BigInt(`0x${digits}`) !== 0n) return BigInt(`0x${digits}`);
  const reason = isGuid ? "zero means that there is none" : "want 16 hexadecimal digits";
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
 * The port GUID in the address of an IPoIB netdev: the last 8 of its 20 bytes, after flags, queue pair number and subnet
 * prefix (RFC 4391, 9.1.1). Undefined for addresses of another kind.
 */
export function portGuidOf(address: string): bigint | undefined {
  const bytes = address.split(":");
  return bytes.length === 20 ? BigInt(`0x${bytes.slice(-8).join("")}`) : undefined;
}

/** The node GUID that mlx5 makes of a MAC address (mlx5_core, node_guid_gen_from_mac): ff fe in its middle. */
export function guidOfMac(mac: string): bigint {
  const digits = mac.replaceAll(":", "");
  return BigInt(`0x${digits.slice(0, 6)}fffe${digits.slice(6)}`);
}

/**
 * Whether a node GUID can be that of a function with a MAC address. mlx5 must have made it of that address; of other
 * drivers' GUIDs only those are wrong that were made, in the manner of EUI-64, of another address.
 */
export function fitsMac(guid: bigint, mac: string, driver: string | undefined): boolean {
  const wanted = guidOfMac(mac);
  if (guid === wanted) return true;
  if (driver === "mlx5_core" || guid === 0n) return false;
  const isMadeOfMac = (guid >> 24n & 0xffffn) === 0xfffen;
  return !isMadeOfMac || guid === (wanted ^ UNIVERSAL_BIT);
}

/** EUI-64 proper inverts this bit of the address's first byte, as irdma, bnxt_re and hns do; mlx5 does not. */
const UNIVERSAL_BIT = 0x02n << 56n;
