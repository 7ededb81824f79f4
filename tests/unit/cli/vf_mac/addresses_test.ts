import fc from "fast-check";
import { CommandError, ExitCode } from "../../../../src/cli/errors.ts";
import { parseGuid, parseMac } from "../../../../src/cli/vf_mac/find.ts";
import * as addresses from "../../../../src/node/addresses.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { assertMakes, assertRefuses } from "../../../support/table.ts";

const { deriveMac, NO_MAC } = addresses;

const PF = "52:54:00:12:34:56";
const MAC = "02:03:00:0a:48:56";
const GUID = 0x020300fffe0a4856n;

Deno.test("a MAC address has six pairs of digits, and is one that a function can have", () => {
  assertMakes(parseMac, [MAC, MAC.toUpperCase(), MAC.replaceAll(":", "-")].map((text) => [text, MAC]));
  const odd = `|02:03:00:0a:48|${MAC}:57|02:03:00:0a:48:5g|2:3:0:a:48:56|0203000a4856| ${MAC}`.split("|");
  const errors = [
    ...assertRefuses(parseMac, odd, CommandError, "not a MAC address"),
    ...assertRefuses(parseMac, [NO_MAC], CommandError, "all zeros"),
    ...assertRefuses(parseMac, ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"], CommandError, "multicast"),
    ...assertRefuses(parseMac, ["a b"], CommandError, '"a b"'),
  ];
  assert(errors.every(({ exitCode }) => exitCode === ExitCode.usage));
});

Deno.test("a GUID is written as rdma dev writes it, and read in the ways in which people write it", () => {
  assertMakes(addresses.formatGuid, [
    [GUID, "0203:00ff:fe0a:4856"],
    [0n, "0000:0000:0000:0000"],
    [1n, "0000:0000:0000:0001"],
  ]);
  const texts = ["0203:00ff:fe0a:4856", "02:03:00:FF:FE:0A:48:56", "0x020300fffe0a4856", "020300fffe0a4856"];
  assertMakes(parseGuid, texts.map((text) => [text, GUID]));
  const odd = ["", "0203:00ff:fe0a", "0203:00ff:fe0a:4856:00", "0203:00ff:fe0a:485g", "0000:0000:0000:0000"];
  for (const error of assertRefuses(parseGuid, odd, CommandError)) {
    assertEquals(error.exitCode, ExitCode.usage);
  }
});

Deno.test("the port GUID is the end of an IPoIB address; an Ethernet address has none", () => {
  const address = "80:00:02:08:fe:80:00:00:00:00:00:00:02:03:00:ff:fe:0a:48:56";
  assertMakes(addresses.parsePortGuid, [[address, GUID], [MAC, undefined]]);
});

Deno.test("a GUID fits an address that mlx5 made it of, and one that another driver may have made it of", () => {
  const inverted = GUID ^ 0x02n << 56n;
  const odd = 0x1234n;
  assertMakes<[bigint, string], boolean>(([guid, driver]) => addresses.matchesMac(guid, MAC, driver), [
    [[GUID, "mlx5_core"], true],
    [[GUID + 1n, "mlx5_core"], false],
    [[inverted, "mlx5_core"], false],
    [[odd, "mlx5_core"], false],
    [[GUID, "igbvf"], true],
    [[inverted, "iavf"], true],
    [[GUID + 1n, "iavf"], false],
    [[odd, "iavf"], true],
    [[0n, "iavf"], false],
  ]);
});

Deno.test("a derived address stays the same from release to release", () => {
  assertMakes((number) => deriveMac(PF, number), [
    [0, "f6:c5:00:12:34:56"],
    [3, "f6:c5:03:12:34:56"],
    [259, "9a:76:03:12:34:56"],
  ]);
});

const byte = fc.nat(255).map((byte) => byte.toString(16).padStart(2, "0"));
const bytes = (count: number) =>
  fc.array(byte, { minLength: count, maxLength: count }).map((all) => all.join(":"));

Deno.test("a derived address is locally administered and unicast, and has the form of one", () => {
  fc.assert(fc.property(bytes(6), fc.nat(1023), (pf, number) => {
    const derived = deriveMac(pf, number);
    assertEquals(parseInt(derived.slice(0, 2), 16) & 3, 2);
    assertEquals(parseMac(derived), derived);
  }));
});

Deno.test("of one maker's adapters no two functions have the same derived address", () => {
  const one = fc.tuple(bytes(3), fc.nat(255));
  fc.assert(fc.property(one, one, ([pf, number], [otherPf, otherNumber]) => {
    fc.pre(pf !== otherPf || number !== otherNumber);
    assert(deriveMac(`b8:59:9f:${pf}`, number) !== deriveMac(`b8:59:9f:${otherPf}`, otherNumber));
  }));
});

Deno.test("functions beyond the 256th get other addresses", () => {
  const numbers = Array.from({ length: 1024 }, (_, number) => deriveMac(PF, number));
  assertEquals(new Set(numbers).size, 1024);
});
