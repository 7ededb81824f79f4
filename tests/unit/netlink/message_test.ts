import { DecodeError } from "../../../src/netlink/error.ts";
import * as netlink from "../../../src/netlink/message.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { encodeAttribute, encodeMessage, join, text, u16, u32 } from "../../support/encode.ts";
import * as replies from "../../support/replies.ts";
import { assertMakes } from "../../support/table.ts";

const { decodeDone, decodeError, decodeMessages } = netlink;
type Message = netlink.Message;

const CAPPED = 0x100;
const ACK_TLVS = 0x200;
const MULTI = 2;
const DUMP_INTR = 0x10;
const EINVAL = 22;
const SEQUENCE = 9;
const REQUEST = encodeMessage({ type: 0x1402, flags: 5, sequence: 1 }, text("a request of several bytes"));

// Requests: for an acknowledgement, for all objects, for one.
const [ACKNOWLEDGED, DUMP, QUESTION] = [5, 0x301, 1];

function message(type: number, flags: number, ...payload: Uint8Array[]): Message {
  return decodeMessages(encodeMessage({ type, flags, sequence: 1 }, ...payload))[0]!;
}

const refusal = (flags: number, request: Uint8Array, ...extended: Uint8Array[]) =>
  message(2, flags, u32(-EINVAL), request, ...extended);

Deno.test("a datagram holds messages one after the other, each with its header", () => {
  const first = { type: 16, flags: 2, sequence: 0xffff_ffff, port: 0xffff_fffe };
  const second = { type: 3, flags: 0, sequence: 8, port: 0 };
  const [some, none] = [Uint8Array.of(1, 2, 3), new Uint8Array(0)];
  const messages = decodeMessages(join(encodeMessage(first, some), encodeMessage(second)));
  assertEquals(messages, [{ ...first, payload: some }, { ...second, payload: none }]);
  assertEquals(decodeMessages(new Uint8Array(0)), []);
});

Deno.test("a message whose length is not that of its bytes is refused, and less than a header", () => {
  for (const length of [0, 15, 21, 0xffff_ffff]) {
    const bytes = join(u32(length), u16(16), u16(0), u32(1), u32(0), u32(0));
    assertThrows(() => decodeMessages(bytes), DecodeError, `it claims ${length} bytes of 20`);
  }
  assertThrows(() => decodeMessages(new Uint8Array(15)), DecodeError, "15 bytes left, header takes 16");
});

Deno.test("an error has its errno, and the kernel's words where there are any", () => {
  const captured = (bytes: Uint8Array) => decodeMessages(bytes)[0]!;
  const [capped, lost] = [REQUEST.subarray(0, 16), encodeAttribute(1, text("lost"))];
  const kernelText = "mtu less than device minimum";
  assertMakes<Message, object>(decodeError, [
    [captured(replies.ACKNOWLEDGEMENT), { errno: 0 }],
    [captured(replies.NAME_TAKEN), { errno: 17 }],
    [captured(replies.NO_SUCH_LINK_UNCAPPED), { errno: 19 }],
    [captured(replies.REFUSED), { errno: EINVAL, kernelText }],
    [captured(replies.REFUSED_UNCAPPED), { errno: EINVAL, kernelText }],
    // Other attributes than a text, and a text behind a request that claims more bytes than there are, are passed over.
    [refusal(CAPPED | ACK_TLVS, capped, encodeAttribute(2, u32(24))), { errno: EINVAL }],
    [refusal(ACK_TLVS, join(u32(0x7fff_fff0), REQUEST.subarray(4)), lost), { errno: EINVAL }],
    // A warning.
    [message(2, CAPPED | ACK_TLVS, u32(0), capped, lost), { errno: 0, kernelText: "lost" }],
  ]);
  const short = message(2, 0, u32(-EINVAL));
  assertThrows(() => decodeError(short), DecodeError, "4 bytes, want at least 20");
});

Deno.test("the end of a dump carries nothing, a zero, an errno or an errno with words", () => {
  const no = encodeAttribute(1, text("no"));
  assertMakes<Message, object>(decodeDone, [
    [message(3, MULTI), { errno: 0 }],
    [message(3, MULTI, u32(0)), { errno: 0 }],
    [message(3, MULTI, u32(-EINVAL)), { errno: EINVAL }],
    [message(3, MULTI | ACK_TLVS, u32(-EINVAL), no), { errno: EINVAL, kernelText: "no" }],
  ]);
  assertThrows(() => decodeDone(message(3, MULTI, Uint8Array.of(0, 0))), DecodeError, "2 bytes, want 4");
});

const part = (type: number, flags: number, { sequence = SEQUENCE, value = 0 } = {}) =>
  encodeMessage({ type, flags, sequence }, u32(value));

/** A reply after each of some datagrams has come: the types of its messages, whether it was interrupted, its outcome. */
function replyOf(request: number, datagrams: Uint8Array[], sequence = SEQUENCE) {
  const reply = new netlink.Reply(sequence, request);
  const outcomes = datagrams.map((datagram) => {
    reply.add(datagram);
    return reply.outcome?.errno;
  });
  return [reply.messages.map(({ type }) => type), reply.interrupted, outcomes];
}

const sequenceOf = (datagram: Uint8Array) => new DataView(datagram.buffer).getUint32(8, true);

Deno.test("a reply ends with the acknowledgement, the end of a dump, or the one message that answers a question", () => {
  const { ACKNOWLEDGEMENT, DEVICES, SYSTEM } = replies;
  const own = join(ACKNOWLEDGEMENT.slice(0, 8), u32(sequenceOf(SYSTEM)), ACKNOWLEDGEMENT.slice(12));
  assertEquals(replyOf(ACKNOWLEDGED, [SYSTEM, own], sequenceOf(SYSTEM)), [[0x1406], false, [undefined, 0]]);
  assertEquals(replyOf(DUMP, DEVICES, sequenceOf(DEVICES[0]!)), [
    [0x1401, 0x1401],
    false,
    [undefined, undefined, 0],
  ]);
  const answers = [part(0x1406, 0, { sequence: SEQUENCE - 1 }), part(0x1406, 0), part(0x1406, 0)];
  assertEquals(replyOf(QUESTION, [join(...answers)]), [[0x1406], false, [0]]);
  assertEquals(replyOf(DUMP, [part(3, MULTI, { value: -12 })]), [[], false, [12]]);
  assertThrows(() => replyOf(DUMP, [new Uint8Array(3)]), DecodeError);
});

Deno.test("a dump with the mark of an interruption on any message was interrupted", () => {
  for (const flagged of [0, 1, 2]) {
    const parts = [0x1401, 0x1401, 3].map((type, i) => part(type, i === flagged ? MULTI | DUMP_INTR : MULTI));
    assertEquals(replyOf(DUMP, parts), [[0x1401, 0x1401], true, [undefined, undefined, 0]]);
  }
});

Deno.test("answers to an earlier request, and what comes after the end, are passed over", () => {
  const earlier = { sequence: SEQUENCE - 1 };
  const datagrams = [part(0x1401, MULTI | DUMP_INTR, earlier), part(3, MULTI, earlier)];
  assertEquals(replyOf(DUMP, datagrams), [[], false, [undefined, undefined]]);
  const late = join(part(3, MULTI), part(0x1401, MULTI | DUMP_INTR));
  assertEquals(replyOf(DUMP, [late]), [[], false, [0]]);
});
