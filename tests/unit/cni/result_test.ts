import { CniError } from "../../../src/cni/error.ts";
import { formatResult, listInterfaces, requirePrevResult } from "../../../src/cni/result.ts";
import { isAtLeast, isCniVersion } from "../../../src/cni/version.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const CONFIG = { cniVersion: "0.4.0", name: "net" } as const;

Deno.test("the result leaves as it came, unknown keys and their order included, with a version", () => {
  const prevResult = { ips: [{ address: "10.0.0.1/24", x: null }], interfaces: [{ mtu: 9000 }], new: {} };
  const versioned = { ...prevResult, cniVersion: "0.3.1" };
  assertEquals(formatResult({ ...CONFIG, prevResult: versioned }), JSON.stringify(versioned));
  assertEquals(formatResult({ ...CONFIG, prevResult: {} }), '{"cniVersion":"0.4.0"}');
});

Deno.test("without a result before it the plugin is not chained", () => {
  const error = assertThrows(() => requirePrevResult(CONFIG), CniError, '"net": no prevResult');
  assertEquals(error.code, 7);
});

Deno.test("interfaces come in the order of how well they fit, and as they came among equals", () => {
  const [podNet1, net1] = [{ name: "net1", sandbox: "/pod" }, { name: "net1" }];
  const [podEth0, host0, host1] = [{ name: "eth0", sandbox: "/pod" }, { name: "host0" }, { name: "host1" }];
  const interfaces = [host0, podEth0, net1, host1, podNet1];
  assertEquals(listInterfaces({ interfaces }, "/pod", "net1"), [podNet1, podEth0, net1, host0, host1]);
  assertEquals(interfaces[0], host0);
  assertEquals(listInterfaces(undefined, "/pod", "net1"), []);
  assertEquals(listInterfaces({ interfaces: null }, "/pod", "net1"), []);
});

Deno.test("versions are compared by age, not as text", () => {
  const versions = ["1.0.0", "0.4.0", "0.3.1"] as const;
  assertEquals(versions.map((version) => isAtLeast(version, "0.4.0")), [true, true, false]);
  assertEquals(["0.2.0", "0.2", "length"].map(isCniVersion), [true, false, false]);
});
