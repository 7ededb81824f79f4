// Whatever bytes come over a netlink socket, decoding ends with a value that makes sense or a DecodeError, and a request
// with the kernel's true answer or such an error.
import fc from "fast-check";
import { getLink } from "../../src/kernel/links.ts";
import * as rdma from "../../src/kernel/rdma.ts";
import { decodeAttributes } from "../../src/netlink/attribute.ts";
import { DecodeError } from "../../src/netlink/error.ts";
import { openLibmnl } from "../../src/netlink/libmnl.ts";
import { decodeMessages, Reply } from "../../src/netlink/message.ts";
import * as nldev from "../../src/netlink/nldev.ts";
import { decodeLink, decodeLinkDetails, type Link } from "../../src/netlink/rtnl.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { Fd } from "../../src/sys/fd.ts";
import { ifPresent } from "../../src/sys/files.ts";
import { check, libc } from "../../src/sys/libc.ts";
import { assert, assertEquals, assertThrows } from "../support/assert.ts";
import { encodeAttribute, encodeMessage, join, text, u16, u32 } from "../support/encode.ts";
import * as replies from "../support/replies.ts";
import { type Datagram, type Script, ScriptedKernel } from "../support/scripted_kernel.ts";
import { runs } from "./form.ts";

// Most of the time would go into stacks of errors that are expected; the frame that throws is enough.
Error.stackTraceLimit = 1;

// Both stay open once they are; opened within a test they would be taken for leaks of that test.
libc();
openLibmnl();

type Bytes = Uint8Array<ArrayBuffer>;

const FIXTURES: readonly Bytes[] = Object.values(replies).flat();

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
    join(bytes.subarray(0, at & ~3), FIXTURES[value % FIXTURES.length]!, bytes.subarray(at & ~3)),
};

type Mutation = readonly [operation: string, at: number, value: number];

/** Up to six changes, one after the other. */
const mutations: fc.Arbitrary<Mutation[]> = fc.array(
  fc.tuple(fc.constantFrom(...Object.keys(OPERATIONS)), fc.nat(0xffff), fc.nat(0xffff)),
  { minLength: 1, maxLength: 6 },
);

/** Changed bytes; those given stay as they are. */
function mutate(bytes: Bytes, changes: readonly Mutation[]): Bytes {
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

Deno.test("captured replies, cut off or changed in any way, decode or are refused", () => {
  const property = fc.property(fc.constantFrom(...FIXTURES), mutations, (datagram, changes) => {
    const mutated = mutate(datagram, changes);
    decodeAll(mutated);
    // With a header that knows of a cut, so that what is inside is reached.
    decodeAll(relabelled(datagram, mutated.subarray(16)));
  });
  fc.assert(property, runs(20_000, 1_000_000));
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

// Requests.

const [NETLINK_ROUTE, RTM_NEWLINK, IFLA_IFNAME] = [0, 16, 3];
const [NLMSG_ERROR, NLMSG_DONE] = [2, 3];
const [NLM_F_MULTI, NLM_F_DUMP_INTR] = [2, 0x10];
const DEVICE = (5 << 10) + 1;
const EINVAL = 22;
const KERNEL = 0;

interface Device {
  index: number;
  name: string;
}

const device = fc.record({ index: fc.nat(0xffff), name: fc.stringMatching(/^[a-z0-9_]{1,20}$/) });
const devices = fc.array(device, { maxLength: 5 });

const fromKernel = (bytes: Uint8Array, length = bytes.length): Datagram => ({ port: KERNEL, bytes, length });

function deviceMessage({ index, name }: Device, sequence: number, flags = NLM_F_MULTI) {
  const attributes = join(encodeAttribute(1, u32(index)), encodeAttribute(2, text(name)));
  return encodeMessage({ type: DEVICE, flags, sequence }, attributes);
}

function end(sequence: number) {
  return encodeMessage({ type: NLMSG_DONE, flags: NLM_F_MULTI, sequence }, u32(0));
}

function refusal(sequence: number, errno: number) {
  return encodeMessage({ type: NLMSG_ERROR, flags: 0x100, sequence }, u32(-errno >>> 0), new Uint8Array(16));
}

/** Runs work with a socket that has a script for a kernel. */
function scripted(script: Script, work: (socket: NetlinkSocket, kernel: ScriptedKernel) => void): void {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  using kernel = new ScriptedKernel(script);
  work(socket, kernel);
}

/** What does not belong to the answer: of another sender, or to another request. */
const noise = fc.oneof(
  fc.record({ port: fc.integer({ min: 1, max: 0xffff_ffff }), late: fc.constant(0), device }),
  fc.record({ port: fc.constant(KERNEL), late: fc.integer({ min: 1, max: 0xffff_ffff }), device }),
);

Deno.test("what another process sends, and late answers, are never taken for the answer", () => {
  const property = fc.property(devices, fc.array(noise, { maxLength: 4 }), fc.nat(), (wanted, extra, at) => {
    const script = (sequence: number): Datagram[] => {
      const messages = [...wanted.map((device) => deviceMessage(device, sequence)), end(sequence)];
      const datagrams = messages.map((bytes) => fromKernel(bytes));
      for (const [i, { port, late, device }] of extra.entries()) {
        const other = (sequence + late) >>> 0;
        const forged = [deviceMessage(device, other), end(other), refusal(other, EINVAL), new Uint8Array(0)];
        datagrams.splice((at + i) % datagrams.length, 0, ...forged.map((bytes) => ({ port, bytes })));
      }
      return datagrams;
    };
    scripted(script, (socket) => {
      for (let time = 0; time < 2; time++) assertEquals(rdma.listDevices(socket), wanted);
    });
  });
  fc.assert(property, runs(500, 20_000));
});

Deno.test("a dump that is interrupted is made again, its parts thrown away, until one is whole", () => {
  const property = fc.property(devices, device, fc.nat(25), fc.nat(5), (wanted, ghost, interruptions, at) => {
    let attempts = 0;
    const script = (sequence: number): Datagram[] => {
      const messages = wanted.map((device) => deviceMessage(device, sequence));
      if (++attempts <= interruptions) {
        messages.splice(at, 0, deviceMessage(ghost, sequence, NLM_F_MULTI | NLM_F_DUMP_INTR));
      }
      return [fromKernel(join(...messages, end(sequence)))];
    };
    scripted(script, (socket) => {
      if (interruptions < 20) assertEquals(rdma.listDevices(socket), wanted);
      else assertThrows(() => rdma.listDevices(socket), DecodeError, "changed during each of 20 attempts");
    });
  });
  fc.assert(property, runs(200, 5000));
});

const ENDLESS: Record<string, (sequence: number) => Datagram> = {
  "a dump": (sequence) => fromKernel(deviceMessage({ index: 1, name: "mlx5_1" }, sequence)),
  "a dump of large messages": (sequence) => {
    const padding = encodeAttribute(999, new Uint8Array(30_000));
    return fromKernel(encodeMessage({ type: DEVICE, flags: NLM_F_MULTI, sequence }, padding));
  },
  "what another process sends": (sequence) => ({ port: 4711, bytes: end(sequence) }),
  "answers to another request": (sequence) => fromKernel(end(sequence + 1)),
  "empty datagrams": () => fromKernel(new Uint8Array(0)),
};

for (const [what, datagram] of Object.entries(ENDLESS)) {
  Deno.test(`${what} without end is given up`, () => {
    const script = function* (sequence: number) {
      for (;;) yield datagram(sequence);
    };
    scripted(script, (socket, kernel) => {
      assertThrows(() => rdma.listDevices(socket), DecodeError, "has no end");
      assert(kernel.received < 65_600, `${kernel.received} datagrams were read`);
    });
  });
}

Deno.test("a datagram that the buffer cannot hold is refused, not read in part", () => {
  scripted((sequence) => [fromKernel(end(sequence), 256 * 1024 + 1)], (socket) => {
    assertThrows(() => rdma.listDevices(socket), DecodeError, "262145 bytes");
  });
});

Deno.test("the kernel's answer counts, not what another socket of this machine sent in its name", () => {
  const before = ownPorts();
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  assertEquals(getLink(socket, "lo")?.name, "lo"); // the kernel gives the socket its port now
  const [port] = [...ownPorts()].filter((one) => !before.has(one));

  using forger = new Fd(check("open a socket", (c) => c.socket(16, 3, NETLINK_ROUTE)));
  const address = join(u16(16), u16(0), u32(port!), u32(0));
  const name = encodeAttribute(IFLA_IFNAME, text("forged"));
  const forged = encodeMessage({ type: RTM_NEWLINK, flags: 0, sequence: 2 }, new Uint8Array(16), name);
  for (const bytes of [forged, refusal(2, EINVAL)]) {
    check("forge an answer", (c) => c.sendto(forger.number, bytes, BigInt(bytes.length), 0, address, 12));
  }
  assertEquals(getLink(socket, "lo")?.name, "lo");
});

/** The ports of this process's netlink sockets: the third column, beside the inode in the last (proc(5) has none). */
function ownPorts(): Set<number> {
  const inodes = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) =>
    ifPresent(() => Deno.readLinkSync(`/proc/self/fd/${name}`))
  );
  const rows = Deno.readTextFileSync("/proc/net/netlink").split("\n").map((row) => row.trim().split(/\s+/));
  return new Set(
    rows.filter((row) => inodes.includes(`socket:[${row.at(-1)}]`)).map((row) => Number(row[2])),
  );
}
