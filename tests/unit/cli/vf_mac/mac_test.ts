import fc from "fast-check";
import { CommandError, ExitCode } from "../../../../src/cli/errors.ts";
import { parseMac } from "../../../../src/cli/vf_mac/find.ts";
import { deriveMac, NO_MAC } from "../../../../src/node/addresses.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";

const PF = "52:54:00:12:34:56";

for (const text of ["02:03:00:0a:48:56", "02:03:00:0A:48:56", "02-03-00-0a-48-56"]) {
  Deno.test(`${text} is a MAC address`, () => assertEquals(parseMac(text), "02:03:00:0a:48:56"));
}

for (
  const [text, reason] of [
    ["", "not a MAC address"],
    ["02:03:00:0a:48", "not a MAC address"],
    ["02:03:00:0a:48:56:57", "not a MAC address"],
    ["02:03:00:0a:48:5g", "not a MAC address"],
    ["2:3:0:a:48:56", "not a MAC address"],
    ["0203000a4856", "not a MAC address"],
    [" 02:03:00:0a:48:56", "not a MAC address"],
    [NO_MAC, "all zeros"],
    ["01:00:5e:00:00:01", "multicast"],
    ["ff:ff:ff:ff:ff:ff", "multicast"],
  ] as const
) {
  Deno.test(`${JSON.stringify(text)} as MAC address is a usage error: ${reason}`, () => {
    const error = assertThrows(() => parseMac(text), CommandError, reason);
    assertEquals([error.exitCode, error.message.includes(JSON.stringify(text))], [ExitCode.usage, true]);
  });
}

Deno.test("a derived address stays the same from release to release", () => {
  assertEquals([0, 3, 259].map((number) => deriveMac(PF, number)), [
    "f6:c5:00:12:34:56",
    "f6:c5:03:12:34:56",
    "9a:76:03:12:34:56",
  ]);
});

const byte = fc.nat(255);
const mac = fc.tuple(byte, byte, byte, byte, byte, byte).map((bytes) =>
  bytes.map((one) => one.toString(16).padStart(2, "0")).join(":")
);

Deno.test("a derived address is locally administered and unicast, and has the form of one", () => {
  fc.assert(fc.property(mac, fc.nat(1023), (pf, number) => {
    const derived = deriveMac(pf, number);
    assertEquals(parseInt(derived.slice(0, 2), 16) & 3, 2);
    assertEquals(parseMac(derived), derived);
  }));
});

Deno.test("of one maker's adapters no two functions have the same derived address", () => {
  const function_ = fc.tuple(byte, byte, byte, fc.nat(255));
  fc.assert(fc.property(function_, function_, (one, other) => {
    if (one.join() === other.join()) return;
    const [first, second] = [one, other].map(([a, b, c, number]) => {
      const own = [a, b, c].map((part) => part.toString(16).padStart(2, "0")).join(":");
      return deriveMac(`b8:59:9f:${own}`, number);
    });
    assert(first !== second);
  }));
});

Deno.test("functions beyond the 256th, and other makers, get other addresses", () => {
  const numbers = Array.from({ length: 1024 }, (_, number) => deriveMac(PF, number));
  assertEquals(new Set(numbers).size, 1024);
  const makers = [
    "52:54:00",
    "b8:59:9f",
    "04:3f:72",
    "0c:42:a1",
    "10:70:fd",
    "94:6d:ae",
    "a0:88:c2",
    "e8:eb:d3",
  ];
  assertEquals(new Set(makers.map((maker) => deriveMac(`${maker}:12:34:56`, 0))).size, makers.length);
});
