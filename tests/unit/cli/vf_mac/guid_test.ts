import { CommandError, ExitCode } from "../../../../src/cli/errors.ts";
import { parseGuid } from "../../../../src/cli/vf_mac/find.ts";
import { deriveGuid, formatGuid, matchesMac, parsePortGuid } from "../../../../src/node/addresses.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";

const MAC = "02:03:00:00:48:56";
const GUID = 0x020300fffe004856n;

Deno.test("a GUID is written as rdma dev writes it", () => {
  assertEquals([GUID, 0n, 1n].map(formatGuid), [
    "0203:00ff:fe00:4856",
    "0000:0000:0000:0000",
    "0000:0000:0000:0001",
  ]);
});

for (
  const text of ["0203:00ff:fe00:4856", "02:03:00:FF:FE:00:48:56", "0x020300fffe004856", "020300fffe004856"]
) {
  Deno.test(`${text} is a GUID`, () => assertEquals(parseGuid(text), GUID));
}

for (
  const text of ["", "0203:00ff:fe00", "0203:00ff:fe00:4856:00", "0203:00ff:fe00:485g", "0000:0000:0000:0000"]
) {
  Deno.test(`${JSON.stringify(text)} as GUID is a usage error`, () => {
    assertEquals(assertThrows(() => parseGuid(text), CommandError).exitCode, ExitCode.usage);
  });
}

Deno.test("the port GUID is the end of an IPoIB address; an Ethernet address has none", () => {
  const address = "80:00:02:08:fe:80:00:00:00:00:00:00:02:03:00:ff:fe:00:48:56";
  assertEquals([parsePortGuid(address), parsePortGuid(MAC)], [GUID, undefined]);
});

Deno.test("mlx5 puts ff fe into the middle of the address and inverts nothing", () => {
  assertEquals(deriveGuid(MAC), GUID);
});

for (
  const { name, guid, driver, fits } of [
    { name: "mlx5's own of this address", guid: GUID, driver: "mlx5_core", fits: true },
    { name: "mlx5's of another address", guid: GUID + 1n, driver: "mlx5_core", fits: false },
    {
      name: "mlx5's with the universal bit inverted",
      guid: 0x000300fffe004856n,
      driver: "mlx5_core",
      fits: false,
    },
    { name: "mlx5's that is no address's", guid: 0x1234n, driver: "mlx5_core", fits: false },
    { name: "another driver's of this address", guid: GUID, driver: "igbvf", fits: true },
    {
      name: "another driver's with the universal bit inverted",
      guid: 0x000300fffe004856n,
      driver: "iavf",
      fits: true,
    },
    { name: "another driver's of another address", guid: GUID + 1n, driver: "iavf", fits: false },
    { name: "another driver's that is no address's", guid: 0x1234n, driver: "iavf", fits: true },
    { name: "zero", guid: 0n, driver: "iavf", fits: false },
  ]
) {
  Deno.test(`a GUID that is ${name} ${fits ? "fits" : "does not fit"}`, () => {
    assertEquals(matchesMac(guid, MAC, driver), fits);
  });
}
