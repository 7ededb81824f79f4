import * as attribute from "../../../src/netlink/attribute.ts";
import { DecodeError } from "../../../src/netlink/error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { encodeAttribute, join, text, u16, u32, u64, u8 } from "../../support/encode.ts";
import { assertMakes, assertRefuses } from "../../support/table.ts";

const { align, decodeAttributes, getNested, getText, getU32, getU64, getU8 } = attribute;

Deno.test("lengths are rounded up to four bytes", () => {
  assertMakes(align, [[0, 0], [1, 4], [3, 4], [4, 4], [5, 8], [8, 8]]);
});

Deno.test("numbers and strings are written as the kernel reads them", () => {
  assertEquals(attribute.u32(5, 0xfffe_fdfc), { type: 5, value: u32(0xfffe_fdfc) });
  assertEquals(attribute.text(2, "mlx5_ä"), { type: 2, value: text("mlx5_ä") });
});

Deno.test("attributes keep their order, lose the flag bits of their types, and the last may lack its padding", () => {
  const repeated = join(encodeAttribute(1, u8(1)), encodeAttribute(2), encodeAttribute(1, u8(2)));
  assertMakes<Uint8Array, unknown>((bytes) => [...decodeAttributes(bytes)], [
    [repeated, [[1, [u8(1), u8(2)]], [2, [new Uint8Array(0)]]]],
    [encodeAttribute(0xc00f), [[15, [new Uint8Array(0)]]]],
    [encodeAttribute(1, u8(7)).subarray(0, 5), [[1, [u8(7)]]]],
    // They are read where they stand, wherever their buffer begins.
    [join(u32(0xdead_beef), encodeAttribute(1, u32(7))).subarray(4), [[1, [u32(7)]]]],
  ]);
});

Deno.test("an attribute whose length is not that of its bytes is refused, and less than a header", () => {
  for (const length of [0, 3, 9, 0xffff]) {
    const bytes = join(u16(length), u16(1), u32(0));
    assertRefuses(decodeAttributes, [bytes], DecodeError, `it claims ${length} bytes of 8`);
  }
  assertRefuses(decodeAttributes, [Uint8Array.of(4, 0, 1)], DecodeError, "3 bytes left, header takes 4");
});

Deno.test("numbers come with all their bits, and those of another size are refused", () => {
  const big = 2n ** 63n + 1n;
  const bytes = [
    encodeAttribute(1, u8(255)),
    encodeAttribute(2, u32(0xffff_ffff)),
    encodeAttribute(3, u64(big)),
  ];
  const attributes = decodeAttributes(join(...bytes, encodeAttribute(4)));
  assertEquals([getU8(attributes, 1), getU32(attributes, 2), getU64(attributes, 3)], [255, 0xffff_ffff, big]);
  assertEquals(getU8(attributes, 9), undefined);
  assertRefuses((type) => getU8(attributes, type), [2, 3, 4], DecodeError);
  assertRefuses((type) => getU32(attributes, type), [1, 3], DecodeError);
  assertRefuses((type) => getU64(attributes, type), [1, 2], DecodeError);
  assertThrows(() => getU32(attributes, 4), DecodeError, "value of 0 bytes, want 4");
});

Deno.test("a string ends at its NUL, or with its bytes when there is none", () => {
  const values = [[text("mlx5_0"), u8(65)], [u8(65)], [text(""), u8(65)], []];
  const attributes = decodeAttributes(join(...values.map((value, type) => encodeAttribute(type, ...value))));
  const read = [0, 1, 2, 3, 4].map((type) => getText(attributes, type));
  assertEquals(read, ["mlx5_0", "A", "", "", undefined]);
  assertEquals(getNested(attributes, 3), new Map());
});
