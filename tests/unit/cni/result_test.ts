import { CniError } from "../../../src/cni/error.ts";
import { formatResult, listInterfaces, requirePrevResult } from "../../../src/cni/result.ts";
import { isAtLeast, isCniVersion } from "../../../src/cni/version.ts";
import type { NetworkConfig } from "../../../src/plugin/config/config.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const CONFIG: NetworkConfig = {
  cniVersion: "0.4.0",
  name: "net",
  allowPf: true,
  rdmaDevices: "all",
  softRoce: false,
  optional: false,
  onSharedMode: "fail",
  requireActive: false,
  readyTimeoutMs: 0,
  lockTimeoutMs: 100_000,
  logLevel: "info",
};

Deno.test("the result leaves as it came, unknown keys and their order included", () => {
  const prevResult = { ips: [{ address: "10.0.0.1/24", x: null }], interfaces: [{ mtu: 9000 }], new: {} };
  assertEquals(
    formatResult({ ...CONFIG, prevResult: { ...prevResult, cniVersion: "0.3.1" } }),
    JSON.stringify({ ...prevResult, cniVersion: "0.3.1" }),
  );
});

Deno.test("a result without version gets that of the configuration", () => {
  assertEquals(formatResult({ ...CONFIG, prevResult: {} }), '{"cniVersion":"0.4.0"}');
});

Deno.test("without a result before it the plugin is not chained", () => {
  const error = assertThrows(() => requirePrevResult(CONFIG), CniError, '"net": no prevResult');
  assertEquals(error.code, 7);
});

Deno.test("interfaces come in the order of how well they fit, and as they came among equals", () => {
  const interfaces = [
    { name: "host0" },
    { name: "eth0", sandbox: "/pod" },
    { name: "net1" },
    { name: "host1" },
    { name: "net1", sandbox: "/pod" },
  ];
  assertEquals(
    listInterfaces({ interfaces }, "/pod", "net1").map(({ name, sandbox }) => `${name} ${sandbox ?? ""}`),
    ["net1 /pod", "eth0 /pod", "net1 ", "host0 ", "host1 "],
  );
  assertEquals(interfaces[0], { name: "host0" });
});

Deno.test("no result, and one without interfaces, has none", () => {
  assertEquals(listInterfaces(undefined, "/pod", "net1"), []);
  assertEquals(listInterfaces({ interfaces: null }, "/pod", "net1"), []);
});

Deno.test("versions are compared by age, not as text", () => {
  assertEquals(isAtLeast("1.0.0", "0.4.0"), true);
  assertEquals(isAtLeast("0.4.0", "0.4.0"), true);
  assertEquals(isAtLeast("0.3.1", "0.4.0"), false);
  assertEquals([isCniVersion("0.2.0"), isCniVersion("0.2"), isCniVersion("length")], [true, false, false]);
});
