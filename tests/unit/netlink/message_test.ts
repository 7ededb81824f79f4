import { DecodeError } from "../../../src/netlink/error.ts";
import { decodeDone, decodeError, decodeMessages, type Outcome } from "../../../src/netlink/message.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { encodeAttribute, encodeMessage, join, text, u16, u32 } from "../../support/encode.ts";
import * as replies from "../../support/replies.ts";

const CAPPED = 0x100;
const ACK_TLVS = 0x200;
const EINVAL = 22;
const REQUEST = encodeMessage({ type: 0x1402, flags: 5, sequence: 1 }, text("a request of several bytes"));

Deno.test("a datagram holds messages one after the other, each with its header", () => {
  const messages = decodeMessages(join(
    encodeMessage({ type: 16, flags: 2, sequence: 0xffff_ffff, port: 0xffff_fffe }, Uint8Array.of(1, 2, 3)),
    encodeMessage({ type: 3, flags: 0, sequence: 8 }),
  ));
  assertEquals(messages, [
    { type: 16, flags: 2, sequence: 0xffff_ffff, port: 0xffff_fffe, payload: Uint8Array.of(1, 2, 3) },
    { type: 3, flags: 0, sequence: 8, port: 0, payload: new Uint8Array(0) },
  ]);
});

Deno.test("an empty datagram holds no message", () => assertEquals(decodeMessages(new Uint8Array(0)), []));

for (const length of [0, 15, 21, 0xffff_ffff]) {
  Deno.test(`a message of 20 bytes that claims ${length} is refused`, () => {
    const bytes = join(u32(length), u16(16), u16(0), u32(1), u32(0), u32(0));
    assertThrows(() => decodeMessages(bytes), DecodeError, `it claims ${length} bytes of 20`);
  });
}

Deno.test("what is shorter than a message's header is refused", () => {
  assertThrows(() => decodeMessages(new Uint8Array(15)), DecodeError, "15 bytes left, header takes 16");
});

const OUTCOMES: { name: string; bytes: Uint8Array; outcome: Outcome }[] = [
  { name: "an acknowledgement is errno 0", bytes: replies.ACKNOWLEDGEMENT, outcome: { errno: 0 } },
  { name: "a taken name is EEXIST", bytes: replies.NAME_TAKEN, outcome: { errno: 17 } },
  { name: "a missing link is ENODEV", bytes: replies.NO_SUCH_LINK, outcome: { errno: 19 } },
  {
    name: "a missing link is ENODEV also with all of the request",
    bytes: replies.NO_SUCH_LINK_UNCAPPED,
    outcome: { errno: 19 },
  },
  {
    name: "the kernel's words are found after a request that is left out",
    bytes: replies.REFUSED,
    outcome: { errno: EINVAL, kernelText: "mtu less than device minimum" },
  },
  {
    name: "the kernel's words are found after all of a request",
    bytes: replies.REFUSED_UNCAPPED,
    outcome: { errno: EINVAL, kernelText: "mtu less than device minimum" },
  },
  {
    name: "other attributes than a text are passed over",
    bytes: refusal(CAPPED | ACK_TLVS, REQUEST.subarray(0, 16), encodeAttribute(2, u32(24))),
    outcome: { errno: EINVAL },
  },
  {
    name: "a warning comes with errno 0",
    bytes: encodeMessage(
      { type: 2, flags: CAPPED | ACK_TLVS, sequence: 1 },
      u32(0),
      REQUEST.subarray(0, 16),
      encodeAttribute(1, text("deprecated")),
    ),
    outcome: { errno: 0, kernelText: "deprecated" },
  },
];

for (const { name, bytes, outcome } of OUTCOMES) {
  Deno.test(name, () => assertEquals(decodeError(decodeMessages(bytes)[0]!), outcome));
}

Deno.test("an error too short for a request's header is refused", () => {
  const [message] = decodeMessages(encodeMessage({ type: 2, flags: 0, sequence: 1 }, u32(-EINVAL)));
  assertThrows(() => decodeError(message!), DecodeError, "4 bytes, want at least 20");
});

Deno.test("a request that claims more bytes than an error has leaves no words", () => {
  const lying = join(u32(0x7fff_fff0), REQUEST.subarray(4));
  const [message] = decodeMessages(refusal(ACK_TLVS, lying, encodeAttribute(1, text("lost"))));
  assertEquals(decodeError(message!), { errno: EINVAL });
});

Deno.test("the end of a dump carries nothing, a zero, an errno or an errno with words", () => {
  const done = (flags: number, ...payload: Uint8Array[]) =>
    decodeDone(decodeMessages(encodeMessage({ type: 3, flags, sequence: 1 }, ...payload))[0]!);
  assertEquals(done(2), { errno: 0 });
  assertEquals(done(2, u32(0)), { errno: 0 });
  assertEquals(done(2, u32(-EINVAL)), { errno: EINVAL });
  assertEquals(done(2 | ACK_TLVS, u32(-EINVAL), encodeAttribute(1, text("no"))), {
    errno: EINVAL,
    kernelText: "no",
  });
  assertThrows(() => done(2, Uint8Array.of(0, 0)), DecodeError, "2 bytes, want 4");
});

function refusal(flags: number, request: Uint8Array, ...extended: Uint8Array[]): Uint8Array {
  return encodeMessage({ type: 2, flags, sequence: 1 }, u32(-EINVAL), request, ...extended);
}
