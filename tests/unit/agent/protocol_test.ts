import fc from "fast-check";
import { decodeReply, decodeRequest, encodeCheck, encodeReply } from "../../../src/agent/protocol.ts";
import { PACKET_LIMIT } from "../../../src/sys/packets.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const HEADER = ["rdma-cni agent 1", "rdma-cni-1", "1:2", "3:4", "5:6"];

/** A request as the launcher makes it. */
function encodeRequest(words: readonly string[], input = new Uint8Array()): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(`${words.map((word) => `${word}\0`).join("")}\0`);
  return Uint8Array.from([...text, ...input]);
}

/** Text that a word can hold, and a variable's name or value. */
const WORD = fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\0", ""));
const NAME = WORD.map((text) => text.replaceAll("=", "")).filter((text) => text !== "");

Deno.test("a request is read as it was written", () => {
  const words = fc.array(WORD, { minLength: 4, maxLength: 4 });
  const inputs = fc.uint8Array({ maxLength: 100 });
  fc.assert(fc.property(words, fc.dictionary(NAME, WORD), inputs, (words, variables, input) => {
    const listed = Object.entries(variables);
    const pairs = listed.map(([name, value]) => `${name}=${value}`);
    const read = decodeRequest(encodeRequest([HEADER[0]!, ...words, ...pairs], input))!;
    assertEquals([read.program, read.root, read.netns, read.podNetns], words);
    assertEquals([...read.variables], listed);
    assertEquals([...read.input], [...input]);
  }));
});

Deno.test("whatever comes is a request or none", () => {
  const words = fc.constantFrom(...HEADER, "", "CNI_COMMAND=ADD", "=", "A", "\xff");
  const parts = words.map((word) => [...new TextEncoder().encode(word), 0]);
  const likely = fc.array(
    fc.oneof({ weight: 9, arbitrary: parts }, { weight: 1, arbitrary: fc.array(fc.nat(255)) }),
  );
  const packets = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    likely.map((all) => Uint8Array.from(all.flat())),
    likely.map((all) => Uint8Array.from([...encodeRequest(HEADER).subarray(0, -1), ...all.flat()])),
  );
  fc.assert(fc.property(packets, (packet) => {
    const request = decodeRequest(Uint8Array.from(packet));
    assert(request === undefined || request.input.length < packet.length);
  }));
});

Deno.test("a request that is cut off is none, nor is one of another protocol", () => {
  const packet = encodeRequest([...HEADER, "CNI_COMMAND=ADD"]);
  assert(decodeRequest(packet));
  for (const length of packet.keys()) assertEquals(decodeRequest(packet.slice(0, length)), undefined);
  for (const protocol of ["rdma-cni agent 2", "rdma-cni agent 1 ", "", "GET / HTTP/1.1\r\n"]) {
    assertEquals(decodeRequest(encodeRequest([protocol, ...HEADER.slice(1)])), undefined);
  }
});

Deno.test("variables: of the same name the first counts, as for getenv; what is not UTF-8 becomes a character that none may have", () => {
  const words = ["CNI_COMMAND=ADD", "CNI_COMMAND=DEL", "CNI_ARGS=a=b=c", "CNI_PATH=", "A=?", "B=\ufeff/bin"];
  const packet = encodeRequest([...HEADER, ...words]);
  packet[packet.indexOf("?".charCodeAt(0))] = 0xff;
  assertEquals(Object.fromEntries(decodeRequest(packet)!.variables), {
    ...{ CNI_COMMAND: "ADD", CNI_ARGS: "a=b=c", CNI_PATH: "", A: "\ufffd", B: "\ufeff/bin" },
  });
});

Deno.test("a question for the agent's state is a request without a program", () => {
  for (const format of ["text", "json"] as const) {
    const request = decodeRequest(encodeCheck(format))!;
    assertEquals([request.program, request.variables.get("FORMAT"), request.input.length], ["", format, 0]);
  }
});

Deno.test("a reply is read as it was written, but for NULs in its log", () => {
  const text = fc.string({ unit: "grapheme" });
  fc.assert(fc.property(fc.nat(255), text, WORD, (code, log, output) => {
    const reply = { code, log: `level ${log}`, output };
    assertEquals(decodeReply(encodeReply(reply)), { ...reply, log: reply.log.replaceAll("\0", "\ufffd") });
  }));
});

Deno.test("of a log that is too long for a packet the end is left out, of an output nothing", () => {
  const log = "log line\n".repeat(PACKET_LIMIT / 8);
  const encode = (length: number) => encodeReply({ code: 1, log, output: "o".repeat(length) });
  for (const length of [0, 1, PACKET_LIMIT - 3, PACKET_LIMIT - 2]) {
    const packet = encode(length);
    const reply = decodeReply(packet);
    assertEquals([packet.length, reply.code, reply.output.length], [PACKET_LIMIT, 1, length]);
    assert(log.startsWith(reply.log));
  }
  // More than a packet: it is not sent then.
  assertEquals(encode(PACKET_LIMIT - 1).length, PACKET_LIMIT + 1);
});
