import * as attribute from "../../../src/netlink/attribute.ts";
import { DecodeError } from "../../../src/netlink/error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { encodeAttribute, join, text, u16, u32, u64, u8 } from "../../support/encode.ts";

const { decodeAttributes } = attribute;

Deno.test("lengths are rounded up to four bytes", () => {
  assertEquals([0, 1, 3, 4, 5, 8].map(attribute.align), [0, 4, 4, 4, 8, 8]);
});

Deno.test("numbers and strings are written as the kernel reads them", () => {
  assertEquals(attribute.u32(5, 0xfffe_fdfc), { type: 5, value: u32(0xfffe_fdfc) });
  assertEquals(attribute.text(2, "mlx5_ä"), { type: 2, value: text("mlx5_ä") });
});

Deno.test("an attribute that occurs several times keeps its order", () => {
  const bytes = join(encodeAttribute(1, u8(1)), encodeAttribute(2), encodeAttribute(1, u8(2)));
  assertEquals([...decodeAttributes(bytes)], [[1, [u8(1), u8(2)]], [2, [new Uint8Array(0)]]]);
});

Deno.test("the flag bits of a type are taken off", () => {
  assertEquals([...decodeAttributes(encodeAttribute(0xc00f)).keys()], [15]);
});

Deno.test("the last attribute may come without padding", () => {
  assertEquals([...decodeAttributes(encodeAttribute(1, u8(7)).subarray(0, 5))], [[1, [u8(7)]]]);
});

Deno.test("an attribute of length zero is an empty string, and no number", () => {
  const attributes = decodeAttributes(encodeAttribute(1));
  assertEquals(attribute.getText(attributes, 1), "");
  assertEquals(attribute.getNested(attributes, 1), new Map());
  assertThrows(() => attribute.getU32(attributes, 1), DecodeError, "value of 0 bytes, want 4");
});

for (const length of [0, 3, 9, 0xffff]) {
  Deno.test(`an attribute of 8 bytes that claims ${length} is refused`, () => {
    assertThrows(
      () => decodeAttributes(join(u16(length), u16(1), u32(0))),
      DecodeError,
      `it claims ${length} bytes of 8`,
    );
  });
}

Deno.test("what is shorter than an attribute's header is refused", () => {
  assertThrows(() => decodeAttributes(Uint8Array.of(4, 0, 1)), DecodeError, "3 bytes left, header takes 4");
});

Deno.test("numbers come with all their bits", () => {
  const attributes = decodeAttributes(
    join(
      encodeAttribute(1, u8(255)),
      encodeAttribute(2, u32(0xffff_ffff)),
      encodeAttribute(3, u64(2n ** 63n + 1n)),
    ),
  );
  assertEquals(attribute.getU8(attributes, 1), 255);
  assertEquals(attribute.getU32(attributes, 2), 0xffff_ffff);
  assertEquals(attribute.getU64(attributes, 3), 2n ** 63n + 1n);
  assertEquals(attribute.getU8(attributes, 9), undefined);
});

Deno.test("a number of another size is refused", () => {
  const attributes = decodeAttributes(encodeAttribute(1, u64(1n)));
  assertThrows(() => attribute.getU8(attributes, 1), DecodeError);
  assertThrows(() => attribute.getU32(attributes, 1), DecodeError);
  assertThrows(() => attribute.getU64(decodeAttributes(encodeAttribute(1, u32(1))), 1), DecodeError);
});

Deno.test("a string ends at its NUL, or with its bytes when there is none", () => {
  const attributes = decodeAttributes(
    join(
      encodeAttribute(1, text("mlx5_0"), u8(65)),
      encodeAttribute(2, u8(65)),
      encodeAttribute(4, text(""), u8(65)),
    ),
  );
  assertEquals(attribute.getText(attributes, 1), "mlx5_0");
  assertEquals(attribute.getText(attributes, 4), "");
  assertEquals(attribute.getText(attributes, 2), "A");
  assertEquals(attribute.getText(attributes, 3), undefined);
});

Deno.test("bytes are read where they stand, wherever their buffer begins", () => {
  const bytes = join(u32(0xdead_beef), encodeAttribute(1, u32(7))).subarray(4);
  assertEquals(attribute.getU32(decodeAttributes(bytes), 1), 7);
});
