import { decodeAttributes } from "../../../src/netlink/attribute.ts";
import { DecodeError } from "../../../src/netlink/error.ts";
import { decodeMessages, NLM_F_ACK, type Request } from "../../../src/netlink/message.ts";
import * as nldev from "../../../src/netlink/nldev.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { encodeAttribute, encodeMessage, join, text, u32, u64, u8 } from "../../support/encode.ts";
import * as replies from "../../support/replies.ts";
import * as requests from "../../support/requests.ts";

// uapi rdma/rdma_netlink.h
const DEV_INDEX = 1;
const DEV_NAME = 2;
const RES_SUMMARY = 15;
const RES_SUMMARY_ENTRY = 16;
const RES_SUMMARY_ENTRY_NAME = 17;
const RES_SUMMARY_ENTRY_CURR = 18;
const NETNS_MODE = 66;
const DRIVER_DETAILS = 97;
const STAT_HWCOUNTERS = 80;
const STAT_HWCOUNTER_ENTRY = 81;
const STAT_HWCOUNTER_ENTRY_NAME = 82;
const STAT_HWCOUNTER_ENTRY_VALUE = 83;
const PARENT_NAME = 100;

interface Golden {
  name: string;
  captured: Uint8Array;
  ours: Request;
  /** Flags that iproute2 sets besides ours. */
  moreFlags?: number;
  /** An attribute that iproute2 sends besides ours. */
  moreAttribute?: number;
}

const GOLDEN: Golden[] = [
  // iproute2 asks for an acknowledgement always; what has an answer needs none.
  {
    name: "list devices",
    captured: requests.LIST_DEVICES,
    ours: nldev.devicesRequest(),
    moreFlags: NLM_F_ACK,
  },
  { name: "move a device", captured: requests.SET_NETNS, ours: nldev.moveDeviceRequest(1, 4) },
  { name: "rename a device", captured: requests.SET_NAME, ours: nldev.renameDeviceRequest(2, "renamed0") },
  {
    name: "make a Soft-RoCE device",
    captured: requests.NEW_LINK,
    ours: nldev.newLinkRequest("rxe0", "rxe", "veth7"),
  },
  {
    name: "remove a Soft-RoCE device",
    captured: requests.DELETE_LINK,
    ours: nldev.deleteLinkRequest(12),
  },
  {
    name: "ask for one device",
    captured: requests.GET_DEVICE,
    ours: nldev.deviceRequest(1),
    moreFlags: NLM_F_ACK,
  },
  {
    name: "ask for counters",
    captured: requests.GET_COUNTERS,
    ours: nldev.countersRequest(14, 1),
    moreFlags: NLM_F_ACK,
  },
  {
    name: "ask for the settings",
    captured: requests.GET_SYSTEM,
    ours: nldev.systemRequest(),
    moreFlags: NLM_F_ACK,
  },
  {
    name: "ask for a uverbs device",
    captured: requests.GET_CHARDEV,
    ours: nldev.charDeviceRequest(3, "uverbs"),
    moreFlags: NLM_F_ACK,
  },
  {
    name: "ask for resources",
    captured: requests.GET_RESOURCES,
    ours: nldev.resourcesRequest(1),
    moreFlags: NLM_F_ACK,
    moreAttribute: DRIVER_DETAILS,
  },
];

for (const { name, captured, ours, moreFlags = 0, moreAttribute } of GOLDEN) {
  Deno.test(`the request to ${name} says what the captured one says`, () => {
    const [message, ...others] = decodeMessages(captured);
    assertEquals(others, []);
    const attributes = new Map(decodeAttributes(message!.payload));
    if (moreAttribute) attributes.delete(moreAttribute);
    assertEquals({ type: message!.type, flags: message!.flags }, {
      type: ours.type,
      flags: ours.flags | moreFlags,
    });
    assertEquals(attributes, new Map(ours.attributes.map(({ type, value }) => [type, [value]])));
    assertEquals(ours.body.length, 0);
  });
}

Deno.test("the reference encoder writes the captured requests byte for byte", () => {
  const { sequence } = decodeMessages(requests.SET_NETNS)[0]!;
  assertEquals(
    encodeMessage(
      { type: 0x1402, flags: 5, sequence },
      encodeAttribute(DEV_INDEX, u32(1)),
      encodeAttribute(68, u32(4)),
    ),
    requests.SET_NETNS,
  );
  assertEquals(
    encodeMessage(
      { type: 0x1402, flags: 5, sequence: decodeMessages(requests.SET_NAME)[0]!.sequence },
      encodeAttribute(DEV_INDEX, u32(2)),
      encodeAttribute(DEV_NAME, text("renamed0")),
    ),
    requests.SET_NAME,
  );
});

Deno.test("a dump gives each device its index and name", () => {
  const messages = replies.DEVICES.flatMap(decodeMessages).slice(0, -1);
  assertEquals(messages.map(({ payload }) => nldev.decodeDevice(payload)), [
    { index: 1, name: "mlx5_1" },
    { index: 3, name: "mlx5_3" },
  ]);
});

Deno.test("an SMI sub-device names its parent", () => {
  const payload = join(
    encodeAttribute(DEV_INDEX, u32(0xffff_ffff)),
    encodeAttribute(DEV_NAME, text("smi0")),
    encodeAttribute(PARENT_NAME, text("mlx5_0")),
  );
  assertEquals(nldev.decodeDevice(payload), { index: 0xffff_ffff, name: "smi0", parent: "mlx5_0" });
});

Deno.test("attributes that a newer kernel adds are passed over", () => {
  const payload = join(
    encodeAttribute(4000, text("new")),
    encodeAttribute(DEV_INDEX, u32(7)),
    encodeAttribute(DEV_NAME, text("rxe0")),
  );
  assertEquals(nldev.decodeDevice(payload), { index: 7, name: "rxe0" });
});

Deno.test("a device without index, without name or with an index of another size is refused", () => {
  const index = encodeAttribute(DEV_INDEX, u32(7));
  const name = encodeAttribute(DEV_NAME, text("rxe0"));
  const short = encodeAttribute(DEV_INDEX, u8(7));
  for (const payload of [index, name, join(index, encodeAttribute(DEV_NAME)), join(short, name)]) {
    assertThrows(() => nldev.decodeDevice(payload), DecodeError);
  }
});

Deno.test("the captured settings say exclusive", () => {
  assertEquals(nldev.decodeSharedMode(decodeMessages(replies.SYSTEM)[0]!.payload), false);
});

Deno.test("mode 1 is shared", () => {
  assertEquals(nldev.decodeSharedMode(encodeAttribute(NETNS_MODE, u8(1))), true);
});

Deno.test("settings without a mode are refused", () => {
  assertThrows(() => nldev.decodeSharedMode(new Uint8Array(0)), DecodeError, "no namespace mode in");
});

Deno.test("the captured character device is uverbs3", () => {
  assertEquals(nldev.decodeCharDevice(decodeMessages(replies.CHARDEV)[0]!.payload), "uverbs3");
});

Deno.test("a reply without a character device has none", () => {
  assertEquals(nldev.decodeCharDevice(new Uint8Array(0)), undefined);
});

Deno.test("the captured resources name each kind, used or not", () => {
  const resources = nldev.decodeResources(decodeMessages(replies.RESOURCES)[0]!.payload);
  assertEquals(
    resources,
    ["pd", "cq", "qp", "cm_id", "mr", "ctx", "srq"].map((kind) => ({ kind, count: 0n })),
  );
});

Deno.test("counts of resources keep their 64 bits", () => {
  const entry = encodeAttribute(
    RES_SUMMARY_ENTRY,
    encodeAttribute(RES_SUMMARY_ENTRY_NAME, text("qp")),
    encodeAttribute(RES_SUMMARY_ENTRY_CURR, u64(2n ** 64n - 1n)),
  );
  assertEquals(nldev.decodeResources(encodeAttribute(RES_SUMMARY | 0x8000, entry, entry)), [
    { kind: "qp", count: 2n ** 64n - 1n },
    { kind: "qp", count: 2n ** 64n - 1n },
  ]);
  assertEquals(nldev.decodeResources(new Uint8Array(0)), []);
});

Deno.test("the captured counters have the driver's names", () => {
  assertEquals(nldev.decodeCounters(decodeMessages(replies.COUNTERS)[0]!.payload), [
    { name: "rx_write_requests", value: 14001n },
    { name: "out_of_sequence", value: 14002n },
    { name: "packet_seq_err", value: 14003n },
    { name: "local_ack_timeout_err", value: 14004n },
  ]);
});

Deno.test("counters keep their 64 bits, and a port without any has none", () => {
  const entry = encodeAttribute(
    STAT_HWCOUNTER_ENTRY,
    encodeAttribute(STAT_HWCOUNTER_ENTRY_NAME, text("rx_bytes")),
    encodeAttribute(STAT_HWCOUNTER_ENTRY_VALUE, u64(2n ** 64n - 1n)),
  );
  const value = 2n ** 64n - 1n;
  assertEquals(nldev.decodeCounters(encodeAttribute(STAT_HWCOUNTERS | 0x8000, entry)), [{
    name: "rx_bytes",
    value,
  }]);
  assertEquals(nldev.decodeCounters(new Uint8Array(0)), []);
});
