import type { Command } from "../../../../src/cni/environment.ts";
import { CniError } from "../../../../src/cni/error.ts";
import { formatResult } from "../../../../src/cni/result.ts";
import { CNI_VERSIONS } from "../../../../src/cni/version.ts";
import { type NetworkConfig, parseConfig } from "../../../../src/plugin/config/config.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";

const MINIMUM = { cniVersion: "1.0.0", name: "net" };
const DEFAULTS = {
  ...{ allowPf: true, rdmaDevices: "all", softRoce: false, optional: false, onSharedMode: "fail" },
  ...{ requireActive: false, readyTimeoutMs: 0, lockTimeoutMs: 100_000, logLevel: "info" },
} as const;

const textWith = (keys: object) => JSON.stringify({ ...MINIMUM, ...keys });
const parse = (keys: object, command: Command = "ADD") => parseConfig(textWith(keys), command);

async function assertRefused(text: string, code: number, command: Command = "ADD", ...parts: string[]) {
  const error = await assertRejects(() => parseConfig(text, command), CniError);
  assertEquals(error.code, code);
  for (const part of parts) assertStringIncludes(`${error.message} ${error.details}`, part);
}

/** Asserts that DEL and GC accept what the other commands refuse. */
async function assertRefusedInUse(keys: object, ...parts: string[]): Promise<void> {
  const text = textWith(keys);
  for (const command of ["ADD", "CHECK", "STATUS"] as const) await assertRefused(text, 7, command, ...parts);
  for (const command of ["DEL", "GC"] as const) assertEquals((await parseConfig(text, command)).name, "net");
}

Deno.test("a configuration has defaults for all but its name; null and empty text are as good as absent", async () => {
  const defaults: object = { cniVersion: "0.1.0", name: "net", ...DEFAULTS };
  assertEquals(await parseConfig('{"name":"net"}'), defaults);
  const nulls = [
    ...["type", "allowPF", "logLevel", "args", "runtimeConfig", "prevResult", "rdmaDevices", "optional"],
    ...["onSharedMode", "rdmaQoS", "rdmaLimits", "requireActive", "readyTimeoutMs", "lockTimeoutMs"],
    ...["rdmaDeviceName", "rdmaDeviceNameConflict", "cni.dev/valid-attachments", "cni.dev/attachments"],
  ].map((key) => [key, null]);
  const empty = ["deviceID", "logFile", "cniVersion", "rdmaDeviceName"].map((key) => [key, ""]);
  assertEquals(await parse(Object.fromEntries([...nulls, ...empty])), defaults);
  const runtimeConfig = { deviceID: null, CNIDeviceInfoFile: null };
  assertEquals(await parse({ cniVersion: "", args: { cni: null }, runtimeConfig }), defaults);
});

Deno.test("every key that the plugin reads arrives", async () => {
  const same = {
    ...{ optional: true, onSharedMode: "skip", requireActive: true },
    ...{ readyTimeoutMs: 60_000, lockTimeoutMs: 3_600_000 },
    ...{ rdmaDeviceName: "rdma_{ifname}", rdmaDeviceNameConflict: "keep", rdmaDevices: ["mlx5_2", 1] },
    rdmaLimits: { hcaHandle: 2, hcaObject: "max" },
    ...{ logLevel: "warning", logFile: "/var/log/rdma.log", prevResult: { interfaces: [] } },
  };
  const [rdmaQos, file] = [{ tos: 104, trafficClass: 106 }, "/run/k8s.cni.cncf.io/devinfo/cni/a"];
  const validAttachments = [{ containerID: "a", ifname: "net1", more: 1 }];
  const config = await parse({
    ...{ ...same, deviceID: "0000:3b:00.2", allowPF: false, rdmaQoS: rdmaQos },
    ...{ runtimeConfig: { CNIDeviceInfoFile: file }, "cni.dev/valid-attachments": validAttachments },
  });
  assertEquals<unknown>(config, {
    ...{ ...MINIMUM, ...same, deviceId: "0000:3b:00.2", allowPf: false, rdmaQos, softRoce: false },
    ...{ deviceInfoFile: file, validAttachments },
  });
});

const DEVICE_INFO = "/var/run/k8s.cni.cncf.io/devinfo";
const SOFT_ROCE = { softRoCE: true };
const POD_NAME = { args: { cni: { rdmaDeviceName: "pod's" } } };
const OPTIONAL_CLASS = { trafficClass: 96, isTrafficClassOptional: true };
const GONE = { containerID: "old", ifname: "net1" };
const OLDER = { "cni.dev/attachments": [GONE] };

const READ: [keys: object, wanted: Partial<Record<keyof NetworkConfig, unknown>>][] = [
  [{ deviceID: "own", runtimeConfig: { deviceID: "given" } }, { deviceId: "given" }],
  [{ deviceID: "own", runtimeConfig: { deviceID: "" } }, { deviceId: "own" }],
  [{ rdmaDeviceName: "own", ...POD_NAME }, { rdmaDeviceName: "pod's" }],
  [{ rdmaDeviceName: "own", args: { cni: { rdmaDeviceName: "" } } }, { rdmaDeviceName: "own" }],
  [SOFT_ROCE, { softRoce: true, rdmaDeviceName: "rxe{index}" }],
  [{ ...SOFT_ROCE, rdmaDeviceName: "roce0" }, { rdmaDeviceName: "roce0" }],
  [{ ...SOFT_ROCE, deviceID: "", rdmaDevices: null, rdmaQoS: null }, { softRoce: true }],
  [{ softRoCE: false }, { softRoce: false, rdmaDeviceName: undefined }],
  [{ rdmaDevices: "all", onSharedMode: "fail", rdmaDeviceNameConflict: "fail" }, { rdmaDevices: "all" }],
  [{ runtimeConfig: { CNIDeviceInfoFile: `${DEVICE_INFO}/a` } }, { deviceInfoFile: `${DEVICE_INFO}/a` }],
  [{ rdmaQoS: { tos: 0 } }, { rdmaQos: { tos: 0 } }],
  [{ rdmaQoS: { tos: null, trafficClass: 255 } }, { rdmaQos: { trafficClass: 255 } }],
  [{ rdmaQoS: { tos: null, dscp: 26 } }, { rdmaQos: {} }],
  // As NVIDIA's fork has it.
  [{ rdmaQoS: { tos: 96, tc: 96 } }, { rdmaQos: { tos: 96, ...OPTIONAL_CLASS } }],
  [{ rdmaQoS: { tc: 96, trafficClass: null } }, { rdmaQos: OPTIONAL_CLASS }],
  [{ rdmaQoS: { tc: 96, trafficClass: 96 } }, { rdmaQos: { trafficClass: 96 } }],
  [{ rdmaQoS: "inherit" }, { rdmaQos: { tos: "host" } }],
  [{ rdmaLimits: { hcaHandle: 0 } }, { rdmaLimits: { hcaHandle: 0 } }],
  [{ rdmaLimits: { hcaHandle: null, hcaObject: 2147483646 } }, { rdmaLimits: { hcaObject: 2147483646 } }],
  [{ rdmaLimits: { hcaHandle: null, handles: 1 } }, { rdmaLimits: undefined }],
  [{ ...OLDER, "cni.dev/valid-attachments": [] }, { validAttachments: [] }],
  [OLDER, { validAttachments: [GONE] }],
  [{ logLevel: "error", args: { cni: { debug: true } } }, { logLevel: "debug" }],
  [{ logLevel: "error", args: { cni: { debug: false } } }, { logLevel: "error" }],
  ...CNI_VERSIONS.map((cniVersion): [object, object] => [{ cniVersion }, { cniVersion }]),
];

for (const [keys, wanted] of READ) {
  Deno.test(`${JSON.stringify(keys)} is read`, async () => {
    const config = await parse(keys);
    const found = Object.keys(wanted).map((key) => [key, config[key as keyof NetworkConfig]]);
    assertEquals(Object.fromEntries(found), wanted);
  });
}

Deno.test("a Soft-RoCE device and a function exclude each other, but for DEL and GC", async () => {
  const keys = { deviceID: "0000:3b:00.2", rdmaDevices: "first", rdmaQoS: { tos: 104 } };
  const all = { ...SOFT_ROCE, ...keys, "cni.dev/valid-attachments": [] };
  await assertRefusedInUse(all, "deviceID, rdmaDevices, rdmaQoS", "remove softRoCE");
  assertEquals((await parse(all, "DEL")).softRoce, true);
});

Deno.test("two traffic classes are code 7, but for DEL and GC", async () => {
  const told = "rdmaQoS.trafficClass is 106, but rdmaQoS.tc, the same, is 96";
  await assertRefusedInUse({ rdmaQoS: { trafficClass: 106, tc: 96 } }, told, "remove");
});

for (const version of ["1.2.0", "0.0.1", "1.0", "v1.0.0", 1, {}, ["1.0.0"], true]) {
  Deno.test(`cniVersion ${JSON.stringify(version)} is code 1, with the known ones`, async () => {
    const text = textWith({ cniVersion: version });
    for (const command of ["ADD", "DEL"] as const) {
      await assertRefused(text, 1, command, JSON.stringify(version), CNI_VERSIONS.join(", "));
    }
  });
}

for (const text of ["", "{", "nonsense", "[]", "null", "1", '"text"', '{"name":"net"} {}', "\ufeff"]) {
  Deno.test(`${JSON.stringify(text)} as configuration is code 6`, () => assertRefused(text, 6));
}

/** Values by the paths at which they are wrong. */
const WRONG: Record<string, unknown[]> = {
  type: [1],
  deviceID: [1],
  allowPF: ["false"],
  rdmaDevices: ["second", [], [1.5]],
  optional: ["true"],
  onSharedMode: ["warn"],
  rdmaQoS: [[], "host"],
  "rdmaQoS.tos": [256, "1"],
  "rdmaQoS.tc": [256],
  "rdmaQoS.trafficClass": [-1, 1.5],
  rdmaLimits: [1],
  "rdmaLimits.hcaHandle": [-1, "1"],
  "rdmaLimits.hcaObject": [2147483647],
  requireActive: [1],
  readyTimeoutMs: [-1, 60_001],
  lockTimeoutMs: [-1, 3_600_001],
  logLevel: ["verbose"],
  logFile: ["rdma.log", "/a\nb"],
  rdmaDeviceName: [["rdma0"]],
  rdmaDeviceNameConflict: ["ignore"],
  args: ["debug"],
  "args.cni": [[]],
  "args.cni.debug": [1],
  "args.cni.rdmaDeviceName": [0],
  "runtimeConfig.deviceID": [{}],
  "runtimeConfig.CNIDeviceInfoFile": [
    ...["/etc/passwd", "a", DEVICE_INFO, `${DEVICE_INFO}/`, `${DEVICE_INFO}/cni/`, `${DEVICE_INFO}/cni//a`],
    ...[`${DEVICE_INFO}/../a`, `${DEVICE_INFO}/cni/..`, `${DEVICE_INFO}/./a`, `${DEVICE_INFO}2/a`],
    ...[`/host${DEVICE_INFO}/a`, `${DEVICE_INFO}/a\0b`, "/var/run/k8sXcni.cncf.io/devinfo/a", 7],
  ],
  delegate: ["sriov", []],
  "delegate.type": [undefined, 7, "", "rdma", "../sriov", "/bin/sh"],
  prevResult: [[]],
  "prevResult.cniVersion": [1],
  "prevResult.interfaces": [{}],
};

const WRONG_KEYS: [path: string, keys: object][] = [
  ...Object.entries(WRONG).flatMap(([path, values]) =>
    values.map((value): [string, object] => {
      return [path, path.split(".").reduceRight((inner, key) => ({ [key]: inner }), value) as object];
    })
  ),
  ["rdmaDevices[0]", { rdmaDevices: [0] }],
  ["rdmaDevices[1]", { rdmaDevices: ["mlx5_2", ""] }],
  ["prevResult.interfaces[1].name", { prevResult: { interfaces: [{}, { name: 1 }] } }],
  ["prevResult.interfaces[0].pciID", { prevResult: { interfaces: [{ pciID: [] }] } }],
  ['["cni.dev/attachments"][1].ifname', { "cni.dev/attachments": [GONE, { containerID: "a" }] }],
  ['["cni.dev/valid-attachments"][0]', { "cni.dev/valid-attachments": [null] }],
];

for (const [path, keys] of WRONG_KEYS) {
  Deno.test(`${JSON.stringify(keys)} is code 7 and names ${path}; DEL ignores that and nothing else`, async () => {
    await assertRefused(textWith(keys), 7, "ADD", `Cannot use network configuration: ${path}: `);
    const all = { deviceID: "0000:3b:00.2", ...keys };
    const { ignoredKeys, deviceId, rdmaLimits: _, ...config } = await parse(all, "DEL");
    // Of a list that has a wrong entry nothing is used.
    assertEquals(ignoredKeys, [/^rdmaQoS/.exec(path)?.[0] ?? path.replace(/(.)\[\d+\].*$/, "$1")]);
    assertEquals(deviceId, path === "deviceID" ? undefined : "0000:3b:00.2");
    assertEquals<object>(config, { ...MINIMUM, ...DEFAULTS });
  });
}

Deno.test("a wrong name is code 7 for DEL and GC too", async () => {
  for (const name of ["", "-net", "a/b", undefined]) {
    for (const command of ["ADD", "DEL", "GC"] as const) {
      await assertRefused(textWith({ name }), 7, command, "Cannot use network configuration: name: ");
    }
  }
});

Deno.test("GC refuses a wrong list of attachments, but ignores the older list beside a good one", async () => {
  const [newer, older] = ["cni.dev/valid-attachments", "cni.dev/attachments"];
  for (const [newerValue, olderValue] of [[[{}], undefined], [{}, []], [undefined, 1], [null, 1]]) {
    await assertRefused(textWith({ [newer]: newerValue, [older]: olderValue }), 7, "GC", "attachments");
  }
  const { validAttachments, ignoredKeys } = await parse({ [newer]: [], [older]: [1], allowPF: 3 }, "GC");
  assertEquals([validAttachments, ignoredKeys], [[], ["allowPF", '["cni.dev/attachments"]']]);
});

Deno.test("ADD reads 1,000 levels within each other, and any number side by side", async () => {
  const nest = (depth: number) => `{"name":"net","a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
  const padding = " ".repeat(2000); // a short text is not counted
  assertEquals((await parseConfig(nest(1000) + padding)).name, "net");
  await assertRefused(nest(1001) + padding, 6, "ADD", "more than 1000 levels");
  assertEquals((await parse({ a: Array(3000).fill([{}]), b: '[{"\\'.repeat(3000) })).name, "net");
});

Deno.test("DEL and GC read what is nested too deeply for the others", async () => {
  for (const depth of [1000, 9000, 200_000]) {
    const deep = "[".repeat(depth) + "]".repeat(depth);
    const text = `{"name":"net","args":{"cni":{"a":${deep},"debug":${deep}}},"delegate":{"type":"sriov"}}`;
    await assertRefused(text, 6, "ADD", "levels deep");
    for (const command of ["DEL", "GC"] as const) {
      const { name, ignoredKeys, delegate } = await parseConfig(text, command);
      assertEquals([name, ignoredKeys], ["net", ["args.cni.debug"]]);
      assertEquals(delegate, { type: "sriov", cniVersion: "0.1.0", name: "net" });
    }
  }
});

Deno.test("all that is wrong is told at once", async () => {
  const text = textWith({ logLevel: "loud", allowPF: 1, deviceID: 2 });
  await assertRefused(text, 7, "ADD", "deviceID: ", "; allowPF: ", "; logLevel: ");
});

Deno.test("numbers leave as they came", async () => {
  for (const number of "18446744073709551615 -9007199254740993 1e400 1.0 1E2 -0 0.1 12".split(" ")) {
    const prevResult = `{"cniVersion":"1.0.0","mtu":${number}}`;
    const compact = `{"cniVersion":"1.0.0","name":"net","prevResult":${prevResult}}`;
    for (const text of [compact, ` ${compact}\n`]) {
      assertEquals(formatResult(await parseConfig(text)), prevResult);
    }
    const withDelegate = compact.replace("}}", `},"delegate":{"type":"sriov","mtu":${number}}}`);
    for (const command of ["ADD", "DEL"] as const) {
      const { delegate } = await parseConfig(withDelegate, command);
      assertEquals(JSON.stringify(delegate).split(`"mtu":${number}`).length, 3);
    }
  }
});
