// Whatever bytes come, decoding ends, and with a value that makes sense or a DecodeError.
import fc from "fast-check";
import { decodeAttributes } from "../../src/netlink/attribute.ts";
import { DecodeError } from "../../src/netlink/error.ts";
import { decodeMessages, Reply } from "../../src/netlink/message.ts";
import * as nldev from "../../src/netlink/nldev.ts";
import { decodeLink, decodeLinkDetails, type Link } from "../../src/netlink/rtnl.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { encodeMessage } from "../support/encode.ts";
import { runs } from "./form.ts";
import { FIXTURES, mutate, mutations } from "./mutation.ts";

// Most of the time would go into stacks of errors that are expected; the frame that throws is enough.
Error.stackTraceLimit = 1;

/** Each decoder with what its values must be like. */
const DECODERS: ((payload: Uint8Array) => unknown)[] = [
  (payload) => assertAttributes(payload),
  (payload) => assertDevice(nldev.decodeDevice(payload)),
  (payload) => assertDevice(nldev.decodeRdmaNode(payload)),
  (payload) => assert(typeof nldev.decodeSharedMode(payload) === "boolean"),
  (payload) => assert(!nldev.decodeCharDevice(payload)?.includes("\0")),
  (payload) => assert(nldev.decodeResources(payload).every(({ count }) => count >= 0n)),
  (payload) => assertLink(decodeLink(payload)),
  (payload) => assertLink(decodeLinkDetails(payload)),
];

Deno.test("captured replies cut off at any length decode or are refused", () => {
  for (const datagram of Object.values(FIXTURES)) {
    for (let length = 0; length < datagram.length; length++) {
      decodeAll(datagram.subarray(0, length));
      // The same with a header that knows of the cut, so that what is inside is reached.
      if (length >= 16) decodeAll(relabelled(datagram, datagram.subarray(16, length)));
    }
  }
});

Deno.test("captured replies, changed in any way, decode or are refused", () => {
  const property = fc.property(
    fc.constantFrom(...Object.values(FIXTURES)),
    mutations,
    (datagram, changes) => {
      const mutated = mutate(datagram, changes);
      decodeAll(mutated);
      decodeAll(relabelled(datagram, mutated.subarray(16)));
    },
  );
  fc.assert(property, runs(20_000, 1_000_000));
});

Deno.test("random bytes decode or are refused", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), decodeAll), runs(2000, 100_000));
});

/** A message with the header of another, its length apart. */
function relabelled(datagram: Uint8Array, payload: Uint8Array): Uint8Array {
  const view = new DataView(datagram.buffer, datagram.byteOffset);
  const header = { type: view.getUint16(4, true), flags: view.getUint16(6, true) };
  return encodeMessage({ ...header, sequence: view.getUint32(8, true) }, payload);
}

function decodeAll(bytes: Uint8Array): void {
  orRefused(() => {
    for (const { payload, sequence, flags } of decodeMessages(bytes)) {
      assertEquals(viewBefore(payload, 16).getUint32(0, true), 16 + payload.length, "a message is cut off");
      orRefused(() => new Reply(sequence, flags).add(bytes));
      for (const decode of DECODERS) orRefused(() => decode(payload));
    }
  });
  for (const decode of DECODERS) orRefused(() => decode(bytes));
}

function orRefused(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
}

/** A value has as many bytes as its header says. */
function assertAttributes(payload: Uint8Array): void {
  for (const value of [...decodeAttributes(payload).values()].flat()) {
    assertEquals(viewBefore(value, 4).getUint16(0, true), 4 + value.length, "an attribute is cut off");
  }
}

function viewBefore({ buffer, byteOffset }: Uint8Array, length: number): DataView {
  return new DataView(buffer, byteOffset - length);
}

function assertDevice({ index, name, parent }: nldev.RdmaDevice): void {
  assert(Number.isInteger(index) && index >= 0 && index <= 0xffff_ffff, `index ${index}`);
  assertName(name, parent);
}

function assertLink({ index, name, parentDevice, vfMacs }: Link): void {
  assert(Number.isInteger(index), `index ${index}`);
  assertName(name, parentDevice);
  for (const mac of vfMacs.values()) assert(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac), mac);
}

function assertName(name: string, parent = ""): void {
  assert(name !== "" && !(name + parent).includes("\0"), `name ${JSON.stringify(name)}`);
}
