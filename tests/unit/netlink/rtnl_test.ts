import { type Attribute, type Attributes, decodeAttributes } from "../../../src/netlink/attribute.ts";
import { DecodeError } from "../../../src/netlink/error.ts";
import { decodeMessages, NLM_F_ACK } from "../../../src/netlink/message.ts";
import * as rtnl from "../../../src/netlink/rtnl.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { encodeAttribute, join, text, u32, u64, u8 } from "../../support/encode.ts";
import { PF_LINK } from "../../support/replies.ts";
import * as requests from "../../support/requests.ts";
import { assertMakes } from "../../support/table.ts";

const { decodeAddress, decodeLink, decodeLinkDetails, vfGuidRequest, vfMacRequest } = rtnl;

// uapi linux/if_link.h
const IFNAME = 3;
const NUM_VF = 21;
const VFINFO_LIST = 22;
const VF_INFO = 1;
const VF_MAC = 1;
const VF_NODE_GUID = 10;
const VF_PORT_GUID = 11;
const RTM_SETLINK = 19;

const FIXED = new Uint8Array(16);
const PF = decodeMessages(PF_LINK)[0]!.payload;
const GUID = 0x020300fffe007701n;

const name = (value: string) => encodeAttribute(IFNAME, text(value));
const vfInfo = (...attributes: Uint8Array[]) => encodeAttribute(VF_INFO, ...attributes);
const listOf = (...infos: Uint8Array[]) => encodeAttribute(VFINFO_LIST, ...infos);

function valuesOf(attributes: readonly Attribute[] | undefined): Attributes {
  return new Map(attributes?.map(({ type, value }) => [type, [value]]));
}

for (
  const [what, captured, ours] of [
    ["look up a link", requests.GET_LINK, rtnl.linkRequest("net1")],
    ["look up a link with its VFs", requests.GET_LINK_WITH_VFS, rtnl.linkWithVfsRequest("lo")],
    ["list links", requests.LIST_LINKS, rtnl.linksRequest()],
  ] as const
) {
  Deno.test(`the request to ${what} says what the captured one says`, () => {
    const { type, flags, payload } = decodeMessages(captured)[0]!;
    // Captured is a request to acknowledge what has an answer, which needs no acknowledgement.
    assertEquals([type, flags & ~NLM_F_ACK, payload.slice(0, 16)], [ours.type, ours.flags, ours.body]);
    assertEquals(decodeAttributes(payload.subarray(16)), valuesOf(ours.attributes));
  });
}

for (
  const [what, captured, ours] of [
    ["address", requests.SET_VF_MAC, vfMacRequest(1, 3, Uint8Array.of(2, 3, 0, 0, 0x77, 1))],
    ["node GUID", requests.SET_VF_NODE_GUID, vfGuidRequest(1, 3, "node", GUID)],
    ["port GUID", requests.SET_VF_PORT_GUID, vfGuidRequest(1, 3, "port", GUID)],
  ] as const
) {
  Deno.test(`a VF's ${what} is ordered as iproute2 does, by a request of its own`, () => {
    const { flags, payload } = decodeMessages(captured)[0]!;
    assertEquals([ours.type, ours.flags, ours.body], [RTM_SETLINK, flags, payload.slice(0, 16)]);
    const [list, ...moreLists] = ours.attributes;
    const [info, ...moreInfos] = list!.nested!;
    assertEquals([list!.type, info!.type, moreLists, moreInfos], [VFINFO_LIST, VF_INFO, [], []]);
    const capturedList = decodeAttributes(payload.subarray(16)).get(VFINFO_LIST)![0]!;
    assertEquals(valuesOf(info!.nested), decodeAttributes(decodeAttributes(capturedList).get(VF_INFO)![0]!));
  });
}

Deno.test("addresses of all links and families are listed, each with its link; with a peer, the link's own counts", () => {
  assertEquals(rtnl.addressesRequest(), { type: 22, flags: 0x301, body: new Uint8Array(8), attributes: [] });
  const fixed = join(Uint8Array.of(2, 24, 0x80, 0), u32(7));
  const [address, local] = [encodeAttribute(1, u32(0x0100000a)), encodeAttribute(2, u32(0x0200000a))];
  assertMakes<Uint8Array, unknown>(decodeAddress, [
    [join(fixed, address), { link: 7, bytes: Uint8Array.of(10, 0, 0, 1) }],
    [join(fixed, address, local), { link: 7, bytes: Uint8Array.of(10, 0, 0, 2) }],
    [fixed, { link: 7, bytes: new Uint8Array() }],
  ]);
  assertThrows(() => decodeAddress(fixed.subarray(0, 7)), DecodeError, "7 bytes");
});

Deno.test("an IPoIB interface is told by its link type, which has 16 bits", () => {
  const types: [number, number][] = [[32, 0], [1, 0], [32, 1]];
  const links = types.map(([low, high]) => decodeLink(join(FIXED.with(2, low).with(3, high), name("ib0"))));
  assertEquals(links.map(({ isInfiniBand }) => isInfiniBand), [true, false, false]);
});

Deno.test("a physical function's link has its addresses, its MTU, and the address of each virtual function", () => {
  const vfMacs = new Map([0, 1].map((vf) => [vf, `02:03:00:00:48:5${vf}`] as const));
  const basics = { index: 2, name: "eth0", parentDevice: "0000:01:00.0", isInfiniBand: false, vfMacs };
  assertEquals<unknown>(decodeLink(PF), basics);
  const mac = "52:54:00:12:34:56";
  assertEquals<unknown>(decodeLinkDetails(PF), {
    ...{ ...basics, isUp: true, isEnabled: true, mtu: 1500, vfGuids: new Map() },
    ...{ address: mac, permanentAddress: mac },
  });
});

Deno.test("a link that is switched off, or has no carrier, is not up", () => {
  for (const [flags, isEnabled] of [[0x1002, false], [0x1003, true], [0x11002, false]] as const) {
    const changed = PF.slice();
    changed.set(u32(flags), 8);
    const link = decodeLinkDetails(changed);
    assertEquals([link.isUp, link.isEnabled], [false, isEnabled]);
  }
});

Deno.test("virtual functions are told apart by the number inside the entry; one without address is left out", () => {
  const mac = (vf: number) => join(u32(vf), Uint8Array.of(2, 0, 0, 0, 0), u8(vf), new Uint8Array(26));
  const entry = (vf: number) => vfInfo(encodeAttribute(VF_MAC, mac(vf)));
  const list = listOf(entry(9), vfInfo(encodeAttribute(2, u32(0))), entry(4));
  const { vfMacs } = decodeLink(join(FIXED, name("pf0"), encodeAttribute(NUM_VF, u32(3)), list));
  assertEquals([...vfMacs], [[9, "02:00:00:00:00:09"], [4, "02:00:00:00:00:04"]]);
});

Deno.test("an InfiniBand function's VFs have GUIDs, told by the number inside the entry", () => {
  const guid = (type: number, vf: number, value: bigint) =>
    encodeAttribute(type, u32(vf), u32(0), u64(value));
  const info = (vf: number) =>
    vfInfo(
      guid(VF_NODE_GUID, vf, GUID + BigInt(vf)),
      guid(VF_PORT_GUID, vf, GUID + BigInt(2 * vf)),
    );
  const link = decodeLinkDetails(join(FIXED.with(2, 32), name("ib0"), listOf(info(9), info(4))));
  assertEquals([...link.vfGuids], [
    [9, { node: GUID + 9n, port: GUID + 18n }],
    [4, { node: GUID + 4n, port: GUID + 8n }],
  ]);
  assertEquals([link.isInfiniBand, link.address, link.permanentAddress], [true, undefined, undefined]);
});

Deno.test("a link without name, a cut one and one with a short VF address are refused", () => {
  const shortMac = listOf(vfInfo(encodeAttribute(VF_MAC, u32(1))));
  assertThrows(() => decodeLink(FIXED), DecodeError, "name is missing");
  assertThrows(() => decodeLink(FIXED.subarray(1)), DecodeError, "15 bytes");
  const link = join(FIXED, name("pf0"), encodeAttribute(NUM_VF, u32(1)), shortMac);
  assertThrows(() => decodeLink(link), DecodeError);
});
