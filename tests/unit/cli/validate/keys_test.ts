import { findUnknownKeys } from "../../../../src/cli/validate/keys.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("the plugin's own keys and those that runtimes read are known", () => {
  assertEquals(findUnknownKeys({ type: "rdma", capabilities: { deviceID: true }, dns: {}, ipam: {} }), []);
});

Deno.test("what others write is not looked into, whatever is in it", () => {
  const foreign = { device_ID: "a", unheardOf: 1 };
  assertEquals(
    findUnknownKeys({ runtimeConfig: foreign, prevResult: foreign, "example.org/any": foreign }),
    [],
  );
});

Deno.test("a key that others may own is named only when it looks like one of the plugin's", () => {
  assertEquals(
    findUnknownKeys({ args: { other: 1, cmi: {} }, capabilities: { portMappings: true, deviceId: true } }),
    [
      { key: "args.cmi", nearest: "args.cni" },
      { key: "capabilities.deviceId", nearest: "capabilities.deviceID" },
    ],
  );
  assertEquals(findUnknownKeys({ args: { cni: { tier: "gold", debugg: true } } }), [
    { key: "args.cni.debugg", nearest: "args.cni.debug" },
  ]);
});

Deno.test("any other key is named, with the one that was probably meant", () => {
  assertEquals(
    findUnknownKeys({ unheardOf: 1, dnss: {}, rdmaQos: {}, rdmaQoS: { tos: 1, traficClass: 2, x: 3 } }),
    [
      { key: "unheardOf" },
      { key: "dnss", nearest: "dns" },
      { key: "rdmaQos", nearest: "rdmaQoS" },
      { key: "rdmaQoS.traficClass", nearest: "rdmaQoS.trafficClass" },
      { key: "rdmaQoS.x" },
    ],
  );
});

Deno.test("a key of this plugin is named where nobody reads it, as NVIDIA's documents have rdmaQoS", () => {
  assertEquals(
    findUnknownKeys({ args: { cni: { rdmaQoS: { tos: 102, tc: 96 }, name: "a", optional: 1 } } }),
    [{ key: "args.cni.rdmaQoS", nearest: "rdmaQoS" }],
  );
  assertEquals(findUnknownKeys({ rdmaQoS: { tos: 102, tc: 96 } }), []);
  assertEquals(findUnknownKeys({ rdmaQoS: "inherit" }), []);
});
