import { type Attribute, type Attributes, decodeAttributes } from "../../../src/netlink/attribute.ts";
import { DecodeError } from "../../../src/netlink/error.ts";
import { decodeMessages } from "../../../src/netlink/message.ts";
import { decodeRdmaNode, sharedModeRequest } from "../../../src/netlink/nldev.ts";
import {
  addressesRequest,
  decodeAddress,
  decodeLinkDetails,
  vfGuidRequest,
  vfMacRequest,
} from "../../../src/netlink/rtnl.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { encodeAttribute, join, text, u32, u64 } from "../../support/encode.ts";
import { DEVICES, PF_LINK, VF_LINK } from "../../support/replies.ts";
import * as requests from "../../support/requests.ts";

const MAC = Uint8Array.of(2, 3, 0, 0, 0x77, 1);
const GUID = 0x020300fffe007701n;
const RTM_SETLINK = 19;
const VFINFO_LIST = 22;
const VF_INFO = 1;
const VF_NODE_GUID = 10;
const VF_PORT_GUID = 11;

/** The attributes for one VF in a captured request. */
function vfInfo(captured: Uint8Array): Attributes {
  const outer = decodeAttributes(decodeMessages(captured)[0]!.payload.subarray(16));
  return decodeAttributes(decodeAttributes(outer.get(VFINFO_LIST)![0]!).get(VF_INFO)![0]!);
}

function valuesOf(attributes: readonly Attribute[] | undefined): Attributes {
  return new Map(attributes?.map(({ type, value }) => [type, [value]]));
}

Deno.test("a VF's address is ordered as iproute2 does", () => {
  const { type, flags, body, attributes } = vfMacRequest(1, 3, MAC);
  const [captured] = decodeMessages(requests.SET_VF_MAC);
  assertEquals({ type, flags, body }, {
    type: RTM_SETLINK,
    flags: captured!.flags,
    body: captured!.payload.slice(0, 16),
  });
  const [list] = attributes;
  const [info] = list!.nested!;
  assertEquals([attributes.length, list!.type, list!.nested!.length, info!.type], [
    1,
    VFINFO_LIST,
    1,
    VF_INFO,
  ]);
  assertEquals(valuesOf(info!.nested), vfInfo(requests.SET_VF_MAC));
});

for (
  const [kind, captured] of [
    ["node", requests.SET_VF_NODE_GUID],
    ["port", requests.SET_VF_PORT_GUID],
  ] as const
) {
  Deno.test(`a VF's ${kind} GUID is ordered as iproute2 does, in a separate request`, () => {
    const [list, ...more] = vfGuidRequest(1, 3, kind, GUID).attributes;
    assertEquals(valuesOf(list!.nested![0]!.nested), vfInfo(captured));
    assertEquals([list!.nested!.length, more], [1, []]);
  });
}

Deno.test("addresses of all links and families are listed, each with its link", () => {
  assertEquals(addressesRequest(), { type: 22, flags: 0x301, body: new Uint8Array(8), attributes: [] });
  const address = join(Uint8Array.of(2, 24, 0x80, 0), u32(7), encodeAttribute(1, u32(0x0100000a)));
  assertEquals(decodeAddress(address), { link: 7, bytes: Uint8Array.of(10, 0, 0, 1) });
  assertThrows(() => decodeAddress(address.subarray(0, 7)), DecodeError, "7 bytes");
});

Deno.test("of a link with a peer the link's address counts", () => {
  const addresses = [encodeAttribute(1, u32(0x0200000a)), encodeAttribute(2, u32(0x0100000a))];
  const payload = join(Uint8Array.of(2, 32, 0x80, 0), u32(7), ...addresses);
  assertEquals(decodeAddress(payload).bytes, Uint8Array.of(10, 0, 0, 1));
  assertEquals(decodeAddress(payload.subarray(0, 8)).bytes, new Uint8Array());
});

Deno.test("a physical function's link has its addresses and its MTU, and is up", () => {
  const { name, isUp, mtu, isInfiniBand, address, permanentAddress, vfMacs, vfGuids } = decodeLinkDetails(
    decodeMessages(PF_LINK)[0]!.payload,
  );
  assertEquals(
    { name, isUp, mtu, isInfiniBand, address, permanentAddress, vfs: vfMacs.size, guids: vfGuids.size },
    {
      name: "eth0",
      isUp: true,
      mtu: 1500,
      isInfiniBand: false,
      address: "52:54:00:12:34:56",
      permanentAddress: "52:54:00:12:34:56",
      vfs: 7,
      guids: 0,
    },
  );
});

Deno.test("a link that is switched off, or has no carrier, is not up", () => {
  const { payload } = decodeMessages(PF_LINK)[0]!;
  for (const [flags, isEnabled] of [[0x1002, false], [0x1003, true], [0x11002, false]] as const) {
    const changed = payload.slice();
    changed.set(u32(flags), 8);
    const link = decodeLinkDetails(changed);
    assertEquals([link.isUp, link.isEnabled], [false, isEnabled]);
  }
  assertEquals(decodeLinkDetails(decodeMessages(VF_LINK)[0]!.payload).name, "eth1");
});

Deno.test("an InfiniBand function's VFs have GUIDs, told by the number inside the entry", () => {
  const guid = (type: number, vf: number, value: bigint) =>
    encodeAttribute(type, u32(vf), u32(0), u64(value));
  const info = (vf: number) =>
    encodeAttribute(
      VF_INFO,
      guid(VF_NODE_GUID, vf, GUID + BigInt(vf)),
      guid(VF_PORT_GUID, vf, GUID + BigInt(2 * vf)),
    );
  const fixed = new Uint8Array(16);
  fixed[2] = 32; // ARPHRD_INFINIBAND
  const list = encodeAttribute(VFINFO_LIST, info(9), info(4));
  const link = decodeLinkDetails(join(fixed, encodeAttribute(3, text("ib0")), list));
  assertEquals([link.isInfiniBand, [...link.vfGuids]], [
    true,
    [[9, { node: GUID + 9n, port: GUID + 18n }], [4, { node: GUID + 4n, port: GUID + 8n }]],
  ]);
  assertEquals([link.address, link.permanentAddress], [undefined, undefined]);
});

Deno.test("the namespace mode is ordered by 1 for shared and 0 for exclusive", () => {
  const orders = [true, false].map((shared) => {
    const { type, attributes } = sharedModeRequest(shared);
    return [type, attributes];
  });
  // RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_SYS_SET), RDMA_NLDEV_SYS_ATTR_NETNS_MODE
  assertEquals(orders, [1, 0].map((mode) => [(5 << 10) + 7, [{ type: 66, value: Uint8Array.of(mode) }]]));
});

Deno.test("an RDMA device's node GUID is the number that people write", () => {
  const { name, nodeGuid } = decodeRdmaNode(decodeMessages(DEVICES[0]!)[0]!.payload);
  assertEquals([name, nodeGuid], ["mlx5_1", 0x020300fffe004850n]);
});

Deno.test("an RDMA device's node GUID is not that of its system image", () => {
  const names = [encodeAttribute(1, u32(3)), encodeAttribute(2, text("mlx5_3"))];
  const device = join(...names, encodeAttribute(7, u64(2n)), encodeAttribute(6, u64(1n)));
  assertEquals(decodeRdmaNode(device).nodeGuid, 1n);
});

Deno.test("an RDMA device without node GUID is refused", () => {
  const device = join(encodeAttribute(1, u32(3)), encodeAttribute(2, text("mlx5_3")));
  assertThrows(() => decodeRdmaNode(device), DecodeError, "node GUID is missing");
});
