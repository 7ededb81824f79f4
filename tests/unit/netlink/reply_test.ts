import { DecodeError } from "../../../src/netlink/error.ts";
import { Reply } from "../../../src/netlink/message.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { encodeMessage, join, u32 } from "../../support/encode.ts";
import { ACKNOWLEDGEMENT, DEVICES, SYSTEM } from "../../support/replies.ts";

const MULTI = 2;
const DUMP_INTR = 0x10;
const SEQUENCE = 9;

const ACKNOWLEDGED = 5;
const DUMP = 0x301;
const QUESTION = 1;

Deno.test("a reply has no outcome until the acknowledgement comes", () => {
  const reply = new Reply(sequenceOf(SYSTEM), ACKNOWLEDGED);
  reply.add(SYSTEM);
  assertEquals(reply.outcome, undefined);
  reply.add(join(ACKNOWLEDGEMENT.slice(0, 8), u32(sequenceOf(SYSTEM)), ACKNOWLEDGEMENT.slice(12)));
  assertEquals(reply.outcome, { errno: 0 });
  assertEquals(reply.messages.map(({ type }) => type), [0x1406]);
});

Deno.test("one message answers a question that asks for no acknowledgement", () => {
  const reply = new Reply(SEQUENCE, QUESTION);
  reply.add(join(message(0x1406, 0, SEQUENCE - 1), message(0x1406, 0), message(0x1406, 0)));
  assertEquals(reply.outcome, { errno: 0 });
  assertEquals(reply.messages.length, 1);
});

Deno.test("a dump goes over several datagrams to its end", () => {
  const reply = new Reply(sequenceOf(DEVICES[0]!), DUMP);
  for (const datagram of DEVICES) {
    assertEquals(reply.outcome, undefined);
    reply.add(datagram);
  }
  assertEquals(reply.outcome, { errno: 0 });
  assertEquals(reply.messages.length, 2);
  assertEquals(reply.interrupted, false);
});

for (const flagged of [0, 1, 2]) {
  Deno.test(`a dump with the mark of an interruption on message ${flagged} was interrupted`, () => {
    const reply = new Reply(SEQUENCE, DUMP);
    for (const [i, type] of [0x1401, 0x1401, 3].entries()) {
      reply.add(message(type, i === flagged ? MULTI | DUMP_INTR : MULTI));
    }
    assertEquals(reply.interrupted, true);
    assertEquals(reply.outcome, { errno: 0 });
  });
}

Deno.test("answers to an earlier request are passed over", () => {
  const reply = new Reply(SEQUENCE, DUMP);
  reply.add(message(0x1401, MULTI | DUMP_INTR, SEQUENCE - 1));
  reply.add(message(3, MULTI, SEQUENCE - 1));
  assertEquals({ ...reply }, {
    sequence: SEQUENCE,
    flags: DUMP,
    messages: [],
    interrupted: false,
    outcome: undefined,
  });
});

Deno.test("what comes after the end is passed over", () => {
  const reply = new Reply(SEQUENCE, DUMP);
  reply.add(join(message(3, MULTI), message(0x1401, MULTI | DUMP_INTR)));
  assertEquals(reply.messages, []);
  assertEquals(reply.interrupted, false);
});

Deno.test("a dump that breaks off ends with its errno", () => {
  const reply = new Reply(SEQUENCE, DUMP);
  reply.add(encodeMessage({ type: 3, flags: MULTI, sequence: SEQUENCE }, u32(-12)));
  assertEquals(reply.outcome, { errno: 12 });
});

Deno.test("a datagram that cannot be decoded is refused", () => {
  assertThrows(() => new Reply(SEQUENCE, DUMP).add(new Uint8Array(3)), DecodeError);
});

function message(type: number, flags: number, sequence = SEQUENCE): Uint8Array {
  return encodeMessage({ type, flags, sequence }, u32(0));
}

function sequenceOf(datagram: Uint8Array): number {
  return new DataView(datagram.buffer).getUint32(8, true);
}
