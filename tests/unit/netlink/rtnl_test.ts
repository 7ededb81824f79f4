import { decodeAttributes } from "../../../src/netlink/attribute.ts";
import { DecodeError } from "../../../src/netlink/error.ts";
import { decodeMessages, NLM_F_ACK } from "../../../src/netlink/message.ts";
import { decodeLink, linkRequest, linksRequest, linkWithVfsRequest } from "../../../src/netlink/rtnl.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { encodeAttribute, join, text, u32, u8 } from "../../support/encode.ts";
import { PF_LINK, VF_LINK } from "../../support/replies.ts";
import * as requests from "../../support/requests.ts";

// uapi linux/if_link.h
const IFNAME = 3;
const NUM_VF = 21;
const VFINFO_LIST = 22;
const VF_INFO = 1;
const VF_MAC = 1;

const FIXED = new Uint8Array(16);

for (
  const { name, captured, ours } of [
    { name: "look up a link", captured: requests.GET_LINK, ours: linkRequest("net1") },
    {
      name: "look up a link with its VFs",
      captured: requests.GET_LINK_WITH_VFS,
      ours: linkWithVfsRequest("lo"),
    },
    { name: "list links", captured: requests.LIST_LINKS, ours: linksRequest() },
  ]
) {
  Deno.test(`the request to ${name} says what the captured one says`, () => {
    const { type, flags, payload } = decodeMessages(captured)[0]!;
    // Captured is a request to acknowledge what has an answer, which needs no acknowledgement.
    assertEquals({ type, flags: flags & ~NLM_F_ACK, body: payload.slice(0, 16) }, {
      type: ours.type,
      flags: ours.flags,
      body: ours.body,
    });
    assertEquals(
      decodeAttributes(payload.subarray(16)),
      new Map(ours.attributes.map((attribute) => [attribute.type, [attribute.value]])),
    );
  });
}

Deno.test("a virtual function's link names the device below it", () => {
  assertEquals(decodeLink(decodeMessages(VF_LINK)[0]!.payload), {
    index: 3,
    name: "eth1",
    parentDevice: "0000:01:10.0",
    isInfiniBand: false,
    vfMacs: new Map(),
  });
});

Deno.test("an IPoIB interface is told by its link type", () => {
  const infiniBand = FIXED.with(2, 32);
  const name = encodeAttribute(IFNAME, text("ib0"));
  assertEquals(decodeLink(join(infiniBand, name)).isInfiniBand, true);
  assertEquals(decodeLink(join(FIXED.with(2, 1), name)).isInfiniBand, false);
  assertEquals(
    decodeLink(join(FIXED.with(2, 32).with(3, 1), name)).isInfiniBand,
    false,
    "the type has 16 bits",
  );
});

Deno.test("a physical function's link has the address of each virtual function", () => {
  const { name, parentDevice, vfMacs } = decodeLink(decodeMessages(PF_LINK)[0]!.payload);
  assertEquals({ name, parentDevice }, { name: "eth0", parentDevice: "0000:01:00.0" });
  assertEquals([...vfMacs], [0, 1, 2, 3, 4, 5, 6].map((vf) => [vf, `02:03:00:00:48:5${vf}`]));
});

Deno.test("virtual functions are told apart by the number inside the entry", () => {
  const link = join(FIXED, encodeAttribute(IFNAME, text("pf0")), encodeAttribute(NUM_VF, u32(2)), vfs(9, 4));
  assertEquals([...decodeLink(link).vfMacs], [[9, "02:00:00:00:00:09"], [4, "02:00:00:00:00:04"]]);
});

Deno.test("a virtual function without address is left out", () => {
  const entry = encodeAttribute(VFINFO_LIST, encodeAttribute(VF_INFO, encodeAttribute(2, u32(0))));
  const link = join(FIXED, encodeAttribute(IFNAME, text("pf0")), encodeAttribute(NUM_VF, u32(1)), entry);
  assertEquals(decodeLink(link).vfMacs.size, 0);
});

Deno.test("a link without name, a cut one and one with a short VF address are refused", () => {
  const name = encodeAttribute(IFNAME, text("pf0"));
  const shortMac = encodeAttribute(VFINFO_LIST, encodeAttribute(VF_INFO, encodeAttribute(VF_MAC, u32(1))));
  assertThrows(() => decodeLink(FIXED), DecodeError, "name is missing");
  assertThrows(() => decodeLink(FIXED.subarray(1)), DecodeError, "15 bytes");
  assertThrows(() => decodeLink(join(FIXED, name, encodeAttribute(NUM_VF, u32(1)), shortMac)), DecodeError);
});

function vfs(...numbers: number[]): Uint8Array {
  const entries = numbers.map((number) => {
    const mac = join(u32(number), Uint8Array.of(2, 0, 0, 0, 0), u8(number), new Uint8Array(26));
    return encodeAttribute(VF_INFO, encodeAttribute(VF_MAC, mac));
  });
  return encodeAttribute(VFINFO_LIST, ...entries);
}
