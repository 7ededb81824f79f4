/** Netlink datagrams as the kernel sent them, and what can become of their bytes. */
import fc from "fast-check";
import { join } from "../support/encode.ts";
import * as replies from "../support/replies.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Every datagram that was captured, by name. */
export const FIXTURES: Readonly<Record<string, Bytes>> = Object.fromEntries(
  Object.entries(replies).flatMap(([name, fixture]) =>
    [fixture].flat().map((datagram, i) => [`${name} ${i}`, datagram])
  ),
);
const DATAGRAMS = Object.values(FIXTURES);

/** Lengths that lie: around those of headers, around signs, too large. */
const LENGTHS = [
  ...[0, 1, 3, 4, 5, 15, 16, 17, 20],
  ...[0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff],
];

/** What can be done to bytes, at a place and with a number that mean something to it. */
const OPERATIONS: Readonly<Record<string, (bytes: Bytes, at: number, value: number) => Bytes>> = {
  byte: (bytes, at, value) => written(bytes, at, (view, place) => view.setUint8(place, value & 0xff)),
  length16: (bytes, at, value) =>
    written(bytes, at & ~3, (view, place) => view.setUint16(place, LENGTHS[value % LENGTHS.length]!, true)),
  length32: (bytes, at, value) =>
    written(bytes, at & ~3, (view, place) => view.setUint32(place, LENGTHS[value % LENGTHS.length]!, true)),
  type: (bytes, _, value) => written(bytes, 4, (view) => view.setUint16(4, value, true)),
  flags: (bytes, _, value) => written(bytes, 6, (view) => view.setUint16(6, value, true)),
  sequence: (bytes, _, value) => written(bytes, 8, (view) => view.setUint32(8, value, true)),
  errno: (bytes, at, value) => written(bytes, 16, (view) => view.setInt32(16, value - at, true)),
  cut: (bytes, at) => bytes.slice(0, at),
  repeat: (bytes, at, value) => join(bytes, bytes.subarray(at, at + value)),
  insert: (bytes, at, value) =>
    join(bytes.subarray(0, at & ~3), DATAGRAMS[value % DATAGRAMS.length]!, bytes.subarray(at & ~3)),
};

export type Mutation = readonly [operation: string, at: number, value: number];

/** Up to six changes, one after the other. */
export const mutations: fc.Arbitrary<Mutation[]> = fc.array(
  fc.tuple(fc.constantFrom(...Object.keys(OPERATIONS)), fc.nat(0xffff), fc.nat(0xffff)),
  { minLength: 1, maxLength: 6 },
);

/** Changed bytes; those given stay as they are. */
export function mutate(bytes: Bytes, changes: readonly Mutation[]): Bytes {
  return changes.reduce(
    (changed, [operation, at, value]) => OPERATIONS[operation]!(changed, at % (changed.length + 1), value),
    bytes,
  );
}

/** A copy with a number in it, unless that would reach beyond the end. */
function written(bytes: Bytes, at: number, write: (view: DataView, at: number) => void): Bytes {
  const copy = bytes.slice();
  if (at + 4 <= copy.length) write(new DataView(copy.buffer), at);
  return copy;
}
