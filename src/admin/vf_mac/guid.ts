/** Node GUIDs: 64-bit numbers, written as four groups of four hexadecimal digits. */
import { CommandError, ExitCode } from "../error.ts";

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
