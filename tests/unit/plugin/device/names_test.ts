import { CniError } from "../../../../src/cni/error.ts";
import { makeDeviceNames } from "../../../../src/plugin/device/names.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";

const one = (template: string, ifname = "net1") => makeDeviceNames(template, ifname, 1, [])[0];

const TEMPLATES: [template: string, ifname: string, name: string][] = [
  ["rdma0", "net1", "rdma0"],
  ["rdma_{ifname}", "net1", "rdma_net1"],
  ["{ifname}", "eth0.100", "eth0.100"],
  ["{ifname}-{ifname}", "a", "a-a"],
  ["mlx5_{index}", "net1", "mlx5_0"],
  ["{ifname}_{index}_{index}", "net1", "net1_0_0"],
  ["{ifname}", "{index}", "{index}"],
  ["{ifname}", "$&", "$&"],
  ["...", "net1", "..."],
  ["rdmä", "net1", "rdmä"],
  ["x".repeat(63), "net1", "x".repeat(63)],
];

for (const [template, ifname, name] of TEMPLATES) {
  Deno.test(`${JSON.stringify(template)} for ${JSON.stringify(ifname)} is ${JSON.stringify(name)}`, () => {
    assertEquals(one(template, ifname), name);
  });
}

Deno.test("{index} is the lowest number whose name the pod does not have, for each device", () => {
  assertEquals(makeDeviceNames("mlx5_{index}", "net1", 3, ["mlx5_0", "mlx5_2", "other"]), [
    "mlx5_1",
    "mlx5_3",
    "mlx5_4",
  ]);
  assertEquals(makeDeviceNames("{ifname}_{index}", "net2", 2, ["net1_0"]), ["net2_0", "net2_1"]);
});

Deno.test("without {index} a name comes out whether it is taken or not", () => {
  assertEquals(makeDeviceNames("rdma0", "net1", 1, ["rdma0"]), ["rdma0"]);
});

const WRONG: [template: string, told: string][] = [
  ["mlx5_{port}", "a placeholder other than {ifname} and {index}"],
  ["mlx5_{}", "a placeholder other"],
  ["mlx5_{Index}", "a placeholder other"],
  ["mlx5_{index", "a placeholder other"],
  ["mlx5_index}", "a placeholder other"],
  ["{ind{ifname}ex}", "a placeholder other"],
  ["{{index}ifname}", "a placeholder other"],
  [".", "is a directory's name"],
  ["..", "is a directory's name"],
  ["a/b", "'/'"],
  ["../../etc", "'/'"],
  ["mlx5_%d", "'%'"],
  ["a b", "white space"],
  ["a\n", "white space"],
  ["a\u00a0b", "white space"],
  ["a\0b", "control character"],
  ["a\x7f", "control character"],
  ["\ud800", "control character"],
  ["x".repeat(64), "has 64 bytes, and a device's name 63 at most"],
  ["ä".repeat(32), "has 64 bytes"],
  [`${"x".repeat(60)}{ifname}`, "has 64 bytes"],
];

for (const [template, told] of WRONG) {
  Deno.test(`${JSON.stringify(template)} is code 7`, () => {
    const start = `Cannot name RDMA devices by "rdmaDeviceName" ${JSON.stringify(template)}: `;
    const error = assertThrows(() => one(template), CniError, start);
    assertEquals([error.code, error.message.includes(told)], [7, true], error.message);
  });
}

Deno.test("several devices need {index}", () => {
  const error = assertThrows(
    () => makeDeviceNames("rdma_{ifname}", "net1", 2, []),
    CniError,
    "2 RDMA devices",
  );
  assertEquals(error.code, 7);
});

Deno.test("a name that only a high number makes too long is refused too", () => {
  const prefix = "x".repeat(62);
  const taken = Array.from({ length: 10 }, (_, i) => `${prefix}${i}`);
  assertEquals(makeDeviceNames(`${prefix}{index}`, "net1", 1, taken.slice(1)), [`${prefix}0`]);
  assertThrows(() => makeDeviceNames(`${prefix}{index}`, "net1", 1, taken), CniError, "has 64 bytes");
});
