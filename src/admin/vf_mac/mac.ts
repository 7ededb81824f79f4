/** MAC addresses as text: six bytes in lower case, `02:03:00:00:48:56`. */
import { CommandError, ExitCode } from "../error.ts";

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
