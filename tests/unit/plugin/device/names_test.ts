import { CniError } from "../../../../src/cni/error.ts";
import { makeDeviceNames } from "../../../../src/plugin/device/names.ts";
import { assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { assertMakes, assertRefuses } from "../../../support/table.ts";

Deno.test("a template has the interface's name and a number put in, and nothing else changed", () => {
  assertMakes<[string, string], string | undefined>(
    ([template, ifname]) => makeDeviceNames(template, ifname, 1, [])[0],
    [
      [["rdma0", "net1"], "rdma0"],
      [["rdma_{ifname}", "net1"], "rdma_net1"],
      [["{ifname}-{ifname}", "a"], "a-a"],
      [["{ifname}_{index}_{index}", "net1"], "net1_0_0"],
      [["{ifname}", "{index}"], "{index}"],
      [["{ifname}", "$&"], "$&"],
      [["rdmä", "net1"], "rdmä"],
      [["x".repeat(63), "net1"], "x".repeat(63)],
    ],
  );
});

Deno.test("{index} is the lowest number whose name the pod does not have, for each device", () => {
  const made = makeDeviceNames("mlx5_{index}", "net1", 3, ["mlx5_0", "mlx5_2", "other"]);
  assertEquals(made, ["mlx5_1", "mlx5_3", "mlx5_4"]);
  assertEquals(makeDeviceNames("{ifname}_{index}", "net2", 2, ["net1_0"]), ["net2_0", "net2_1"]);
  // Without it a name comes out whether it is taken or not.
  assertEquals(makeDeviceNames("rdma0", "net1", 1, ["rdma0"]), ["rdma0"]);
});

const WRONG: Record<string, string[]> = {
  "a placeholder other than {ifname} and {index}":
    "mlx5_{port} mlx5_{} mlx5_{Index} mlx5_{index mlx5_index} {ind{ifname}ex} {{index}ifname}".split(" "),
  "is a directory's name": [".", ".."],
  "'/'": ["a/b", "../../etc"],
  "'%'": ["mlx5_%d"],
  "white space": ["a b", "a\n", "a\u00a0b"],
  "control character": ["a\0b", "a\x7f", "\ud800"],
  "has 64 bytes, and a device's name 63 at most": [
    "x".repeat(64),
    "ä".repeat(32),
    `${"x".repeat(60)}{ifname}`,
  ],
};

for (const [told, templates] of Object.entries(WRONG)) {
  Deno.test(`a template is code 7 if a name has ${told}`, () => {
    const errors = assertRefuses((one) => makeDeviceNames(one, "net1", 1, []), templates, CniError, told);
    assertEquals(errors.map(({ code }) => code), templates.map(() => 7));
    for (const [i, { message }] of errors.entries()) {
      const start = `Cannot name RDMA devices by "rdmaDeviceName" ${JSON.stringify(templates[i])}: `;
      assertStringIncludes(message, start);
    }
  });
}

Deno.test("several devices need {index}, and a name that only a high number makes too long is refused too", () => {
  const make = ([template, count, taken]: [string, number, string[]]) =>
    makeDeviceNames(template, "net1", count, taken);
  const [error] = assertRefuses(make, [["rdma_{ifname}", 2, []]], CniError, "2 RDMA devices");
  assertEquals(error!.code, 7);
  const prefix = "x".repeat(62);
  const taken = Array.from({ length: 10 }, (_, i) => `${prefix}${i}`);
  assertEquals(make([`${prefix}{index}`, 1, taken.slice(1)]), [`${prefix}0`]);
  assertRefuses(make, [[`${prefix}{index}`, 1, taken]], CniError, "has 64 bytes");
});
