/**
 * Netlink attributes: a length and a type of 16 bits each, then the value, padded to 4 bytes. Every length that the
 * kernel sends is checked here. Numbers are in the machine's byte order: little-endian wherever Deno runs.
 *
 * 0        2        4                    4+n   padded | length | type   | value (n bytes) ...  | 0 |
 */
import { DecodeError } from "./error.ts";

/** An attribute's type without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const NLA_TYPE_MASK = 0x3fff;
/** Every structure and attribute starts on a multiple of this many bytes. */
const NLMSG_ALIGNTO = 4;
/** sizeof(struct nlattr). */
const NLA_HDRLEN = 4;

/** An attribute to send. If it holds others, they are in `nested` and the value is empty. */
export interface Attribute {
  readonly type: number;
  readonly value: Uint8Array<ArrayBuffer>;
  readonly nested?: readonly Attribute[];
}

/** The attributes of a message by type; a type that occurs several times has all its values in order. */
export type Attributes = ReadonlyMap<number, readonly Uint8Array[]>;

/** Rounds a length in bytes up to the start of the next netlink structure. */
export function align(length: number): number {
  return Math.ceil(length / NLMSG_ALIGNTO) * NLMSG_ALIGNTO;
}

/** An attribute that holds one byte. */
export function u8(type: number, value: number): Attribute {
  return { type, value: Uint8Array.of(value) };
}

/** An attribute that holds 32 bits. */
export function u32(type: number, value: number): Attribute {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return { type, value: bytes };
}

/** An attribute that holds a string, with the NUL that the kernel's strict parsing requires. */
export function text(type: number, value: string): Attribute {
  return { type, value: new TextEncoder().encode(value + "\0") };
}

/** An attribute that holds others. */
export function nest(type: number, ...nested: Attribute[]): Attribute {
  return { type, value: new Uint8Array(0), nested };
}

/** A view of exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Decodes attributes. Their types are without flag bits; unknown ones, which a newer kernel may send, are kept.
 *
 * @throws {DecodeError} when a length is shorter than a header or runs past the end
 */
export function decodeAttributes(bytes: Uint8Array): Attributes {
  const attributes = new Map<number, Uint8Array[]>();
  const view = viewOf(bytes);
  for (let offset = 0; offset < bytes.length;) {
    const rest = bytes.length - offset;
    if (rest < NLA_HDRLEN) {
      throw new DecodeError(`Cannot decode attribute: ${rest} bytes left, header takes 4`);
    }
    const length = view.getUint16(offset, true);
    const type = view.getUint16(offset + 2, true) & NLA_TYPE_MASK;
    if (length < NLA_HDRLEN || length > rest) {
      throw new DecodeError(`Cannot decode attribute ${type}: it claims ${length} bytes of ${rest}`);
    }
    const value = bytes.subarray(offset + NLA_HDRLEN, offset + length);
    const same = attributes.get(type);
    if (same) same.push(value);
    else attributes.set(type, [value]);
    offset += align(length);
  }
  return attributes;
}

/** The bytes of the first attribute of this type, or undefined when there is none. */
export function getBytes(attributes: Attributes, type: number): Uint8Array | undefined {
  return attributes.get(type)?.[0];
}

/** The attributes nested in the first attribute of this type, empty when there is none. */
export function getNested(attributes: Attributes, type: number): Attributes {
  const bytes = getBytes(attributes, type);
  return bytes ? decodeAttributes(bytes) : new Map();
}

/** The 8-bit number of this type, or undefined when there is none. */
export function getU8(attributes: Attributes, type: number): number | undefined {
  return sized(attributes, type, 1)?.getUint8(0);
}

/** The 32-bit number of this type, or undefined when there is none. */
export function getU32(attributes: Attributes, type: number): number | undefined {
  return sized(attributes, type, 4)?.getUint32(0, true);
}

/** The 64-bit number of this type, or undefined when there is none. */
export function getU64(attributes: Attributes, type: number): bigint | undefined {
  return sized(attributes, type, 8)?.getBigUint64(0, true);
}

const decoder = new TextDecoder();

/** The string of this type up to its NUL, or undefined when there is none. */
export function getText(attributes: Attributes, type: number): string | undefined {
  const bytes = getBytes(attributes, type);
  if (!bytes) return undefined;
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function sized(attributes: Attributes, type: number, size: number): DataView | undefined {
  const bytes = getBytes(attributes, type);
  if (!bytes) return undefined;
  if (bytes.length !== size) {
    throw new DecodeError(`Cannot decode attribute ${type}: value of ${bytes.length} bytes, want ${size}`);
  }
  return viewOf(bytes);
}
