// Whatever bytes come, decoding ends, and with a value or a DecodeError.
import fc from "fast-check";
import { DecodeError } from "../../../src/netlink/error.ts";
import { decodeMessages } from "../../../src/netlink/message.ts";
import { Reply } from "../../../src/netlink/reply.ts";
import * as nldev from "../../../src/netlink/nldev.ts";
import { decodeLink } from "../../../src/netlink/rtnl.ts";
import { assert } from "../../assert.ts";
import { encodeMessage } from "../../fixtures/encode.ts";
import * as replies from "../../fixtures/replies.ts";

// Most of the time would go into stacks of errors that are expected; the frame that throws is enough.
Error.stackTraceLimit = 1;

const PAYLOAD_DECODERS = [
  nldev.decodeDevice,
  nldev.decodeSharedMode,
  nldev.decodeCharDevice,
  nldev.decodeResources,
  decodeLink,
];
const FIXTURES = Object.values(replies).flat();

for (const [name, fixture] of Object.entries(replies)) {
  Deno.test(`${name} cut off at any length decodes or is refused`, () => {
    for (const datagram of [fixture].flat()) {
      for (let length = 0; length < datagram.length; length++) {
        decodeAll(datagram.subarray(0, length));
        // The same with a header that knows of the cut, so that what is inside is reached.
        if (length >= 16) decodeAll(relabelled(datagram, datagram.subarray(16, length)));
      }
    }
  });
}

Deno.test("captured replies with bytes changed anywhere decode or are refused", () => {
  const change = fc.record({ at: fc.nat(), byte: fc.nat(255) });
  fc.assert(
    fc.property(fc.constantFrom(...FIXTURES), fc.array(change, { maxLength: 8 }), (datagram, changes) => {
      const mutated = datagram.slice();
      for (const { at, byte } of changes) mutated[at % mutated.length] = byte;
      decodeAll(mutated);
      decodeAll(relabelled(datagram, mutated.subarray(16)));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("random bytes decode or are refused", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), decodeAll), { numRuns: 2000 });
});

function relabelled(datagram: Uint8Array, payload: Uint8Array): Uint8Array {
  const view = new DataView(datagram.buffer, datagram.byteOffset);
  const header = { type: view.getUint16(4, true), flags: view.getUint16(6, true) };
  return encodeMessage({ ...header, sequence: view.getUint32(8, true) }, payload);
}

function decodeAll(bytes: Uint8Array): void {
  orRefused(() => {
    for (const { sequence } of decodeMessages(bytes)) {
      orRefused(() => new Reply(sequence).add(bytes));
    }
    for (const { payload } of decodeMessages(bytes)) {
      for (const decode of PAYLOAD_DECODERS) orRefused(() => decode(payload));
    }
  });
  for (const decode of PAYLOAD_DECODERS) orRefused(() => decode(bytes));
}

function orRefused(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    assert(error instanceof DecodeError, `${error instanceof Error ? error.stack : error}`);
  }
}
