import { decodeAttributes } from "../../../src/netlink/attribute.ts";
import { DecodeError } from "../../../src/netlink/error.ts";
import { decodeMessages, NLM_F_ACK } from "../../../src/netlink/message.ts";
import * as nldev from "../../../src/netlink/nldev.ts";
import { assertEquals } from "../../support/assert.ts";
import { encodeAttribute, join, text, u32, u64, u8 } from "../../support/encode.ts";
import * as replies from "../../support/replies.ts";
import * as requests from "../../support/requests.ts";
import { assertMakes, assertRefuses } from "../../support/table.ts";

// uapi rdma/rdma_netlink.h
const DEV = { index: 1, name: 2, nodeGuid: 6, sysImageGuid: 7, parentName: 100 };
const RES_SUMMARY = { all: 15, entry: 16, name: 17, count: 18 };
const HWCOUNTERS = { all: 80, entry: 81, name: 82, count: 83 };
const NETNS_MODE = 66;
const DRIVER_DETAILS = 97;

const LARGEST = 2n ** 64n - 1n;
const NOTHING = new Uint8Array(0);
const payloadOf = (captured: Uint8Array) => decodeMessages(captured)[0]!.payload;
const index = (value: number) => encodeAttribute(DEV.index, u32(value));
const name = (value: string) => encodeAttribute(DEV.name, text(value));

for (
  const [what, captured, ours, flags = 0, more = 0] of [
    ["move a device", requests.SET_NETNS, nldev.moveDeviceRequest(1, 4)],
    ["rename a device", requests.SET_NAME, nldev.renameDeviceRequest(2, "renamed0")],
    ["make a Soft-RoCE device", requests.NEW_LINK, nldev.newLinkRequest("rxe0", "rxe", "veth7")],
    ["remove a Soft-RoCE device", requests.DELETE_LINK, nldev.deleteLinkRequest(12)],
    // iproute2 asks for an acknowledgement always; what has an answer needs none.
    ["list devices", requests.LIST_DEVICES, nldev.devicesRequest(), NLM_F_ACK],
    ["ask for one device", requests.GET_DEVICE, nldev.deviceRequest(1), NLM_F_ACK],
    ["ask for counters", requests.GET_COUNTERS, nldev.countersRequest(14, 1), NLM_F_ACK],
    ["ask for the settings", requests.GET_SYSTEM, nldev.systemRequest(), NLM_F_ACK],
    ["ask for a uverbs device", requests.GET_CHARDEV, nldev.charDeviceRequest(3, "uverbs"), NLM_F_ACK],
    // iproute2 asks for the driver's details too.
    ["ask for resources", requests.GET_RESOURCES, nldev.resourcesRequest(1), NLM_F_ACK, DRIVER_DETAILS],
  ] as const
) {
  Deno.test(`the request to ${what} says what the captured one says`, () => {
    const [message, ...others] = decodeMessages(captured);
    const attributes = [...decodeAttributes(message!.payload)].filter(([type]) => type !== more);
    assertEquals([message!.type, message!.flags, others], [ours.type, ours.flags | flags, []]);
    assertEquals<unknown>(attributes, ours.attributes.map(({ type, value }) => [type, [value]]));
    assertEquals(ours.body.length, 0);
  });
}

Deno.test("a device has its index, its name, and if it is an SMI sub-device the name of its parent", () => {
  assertMakes<Uint8Array, unknown>(nldev.decodeDevice, [
    [payloadOf(replies.DEVICES[0]!), { index: 1, name: "mlx5_1" }],
    [payloadOf(replies.DEVICES[1]!), { index: 3, name: "mlx5_3" }],
    [join(index(0xffff_ffff), name("smi0"), encodeAttribute(DEV.parentName, text("mlx5_0"))), {
      ...{ index: 0xffff_ffff, name: "smi0", parent: "mlx5_0" },
    }],
    // A newer kernel adds attributes.
    [join(encodeAttribute(4000, text("new")), index(7), name("rxe0")), { index: 7, name: "rxe0" }],
  ]);
  const short = join(encodeAttribute(DEV.index, u8(7)), name("rxe0"));
  const incomplete = [index(7), name("rxe0"), join(index(7), encodeAttribute(DEV.name)), short];
  assertRefuses(nldev.decodeDevice, incomplete, DecodeError);
});

Deno.test("a device's node GUID is the number that people write, and not that of its system image", () => {
  const [node, image] = [encodeAttribute(DEV.nodeGuid, u64(1n)), encodeAttribute(DEV.sysImageGuid, u64(2n))];
  assertMakes<Uint8Array, unknown>((payload) => nldev.decodeRdmaNode(payload), [
    [payloadOf(replies.DEVICES[0]!), { index: 1, name: "mlx5_1", nodeGuid: 0x020300fffe004850n }],
    [join(index(3), name("mlx5_3"), image, node), { index: 3, name: "mlx5_3", nodeGuid: 1n }],
  ]);
  assertRefuses(nldev.decodeRdmaNode, [join(index(3), name("a"))], DecodeError, "node GUID is missing");
});

Deno.test("the mode is shared or exclusive: 1 or 0", () => {
  assertMakes<Uint8Array, boolean>(nldev.decodeSharedMode, [
    [payloadOf(replies.SYSTEM), false],
    [encodeAttribute(NETNS_MODE, u8(1)), true],
  ]);
  assertRefuses(nldev.decodeSharedMode, [NOTHING], DecodeError, "no namespace mode in");
  // RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_SYS_SET)
  const order = (mode: number) => [(5 << 10) + 7, [{ type: NETNS_MODE, value: u8(mode) }]];
  const orders = [false, true].map((isShared) => nldev.sharedModeRequest(isShared));
  assertEquals<unknown>(orders.map(({ type, attributes }) => [type, attributes]), [order(0), order(1)]);
});

Deno.test("a character device has its name, if there is one", () => {
  const found = [payloadOf(replies.CHARDEV), NOTHING].map((payload) => nldev.decodeCharDevice(payload));
  assertEquals(found, ["uverbs3", undefined]);
});

/** The largest number of a name, twice. */
function listed(types: typeof RES_SUMMARY, kind: string): Uint8Array {
  const [name, count] = [encodeAttribute(types.name, text(kind)), encodeAttribute(types.count, u64(LARGEST))];
  const entry = encodeAttribute(types.entry, name, count);
  return encodeAttribute(types.all | 0x8000, entry, entry);
}

Deno.test("resources have their kinds, used or not, and counts of 64 bits", () => {
  const kinds = ["pd", "cq", "qp", "cm_id", "mr", "ctx", "srq"];
  assertMakes<Uint8Array, unknown>(nldev.decodeResources, [
    [payloadOf(replies.RESOURCES), kinds.map((kind) => ({ kind, count: 0n }))],
    [listed(RES_SUMMARY, "qp"), Array(2).fill({ kind: "qp", count: LARGEST })],
    [NOTHING, []],
  ]);
});

Deno.test("counters have the driver's names, and 64 bits", () => {
  const names = ["rx_write_requests", "out_of_sequence", "packet_seq_err", "local_ack_timeout_err"];
  assertMakes<Uint8Array, unknown>(nldev.decodeCounters, [
    [payloadOf(replies.COUNTERS), names.map((name, at) => ({ name, value: BigInt(14001 + at) }))],
    [listed(HWCOUNTERS, "rx_bytes"), Array(2).fill({ name: "rx_bytes", value: LARGEST })],
    [NOTHING, []],
  ]);
});
