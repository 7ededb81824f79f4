import { findNearest, findUnknownKeys, type Raw } from "../../../../src/cli/validate/keys.ts";
import { assertEquals } from "../../../support/assert.ts";
import { assertMakes } from "../../../support/table.ts";

/** The unknown keys, each with the one that was probably meant. */
const listUnknown = (config: Raw) =>
  findUnknownKeys(config).map(({ key, nearest }) => nearest === undefined ? key : `${key} -> ${nearest}`);

Deno.test("keys are unknown when neither the plugin has them nor a runtime, nor others in what they share", () => {
  const foreign = { device_ID: "a", unheardOf: 1 };
  assertMakes<Raw, string[]>(listUnknown, [
    [{ type: "rdma", capabilities: { deviceID: true }, dns: {}, ipam: {} }, []],
    [{ runtimeConfig: foreign, prevResult: foreign, delegate: foreign, "example.org/any": foreign }, []],
    [{ args: { other: 1, cmi: {} }, capabilities: { portMappings: true, deviceId: true } }, [
      "args.cmi -> args.cni",
      "capabilities.deviceId -> capabilities.deviceID",
    ]],
    [{ args: { cni: { tier: "gold", debugg: true } } }, ["args.cni.debugg -> args.cni.debug"]],
    [{ unheardOf: 1, dnss: {}, rdmaQos: {} }, ["unheardOf", "dnss -> dns", "rdmaQos -> rdmaQoS"]],
    [{ rdmaQoS: { tos: 1, traficClass: 2, x: 3 } }, [
      "rdmaQoS.traficClass -> rdmaQoS.trafficClass",
      "rdmaQoS.x",
    ]],
    // NVIDIA's documents have it there, where nobody reads it.
    [{ args: { cni: { rdmaQoS: { tos: 102 }, name: "a", optional: 1 } } }, ["args.cni.rdmaQoS -> rdmaQoS"]],
    [{ rdmaQoS: { tos: 102, tc: 96 } }, []],
    [{ rdmaQoS: "inherit" }, []],
  ]);
});

Deno.test("a word is near another if at most a third of its letters differ", () => {
  assertMakes((word) => findNearest(word, ["deviceID", "allowPF", "logLevel", "logFile"]), [
    ["deviceId", "deviceID"],
    ["device", "deviceID"],
    ["allow_pf", "allowPF"],
    ["loglevl", "logLevel"],
    ["log", undefined],
    ["rdmaQoS", undefined],
    ["", undefined],
  ]);
  assertEquals(findNearest("a", []), undefined);
});
