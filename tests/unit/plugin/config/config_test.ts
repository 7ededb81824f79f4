import type { Command } from "../../../../src/cni/environment.ts";
import { CniError } from "../../../../src/cni/error.ts";
import { formatResult } from "../../../../src/cni/result.ts";
import { CNI_VERSIONS } from "../../../../src/cni/version.ts";
import { parseConfig } from "../../../../src/plugin/config/config.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";

const MINIMUM = { cniVersion: "1.0.0", name: "net" };
const parse = (keys: unknown) => parseConfig(JSON.stringify({ ...MINIMUM, ...keys as object }));

async function assertRefused(
  text: string,
  code: number,
  command: Command = "ADD",
  ...parts: string[]
): Promise<void> {
  const error = await assertRejects(() => parseConfig(text, command), CniError);
  assertEquals(error.code, code);
  for (const part of parts) assertStringIncludes(`${error.message} ${error.details}`, part);
}

const DEFAULTS = {
  allowPf: true,
  rdmaDevices: "all",
  softRoce: false,
  optional: false,
  onSharedMode: "fail",
  requireActive: false,
  readyTimeoutMs: 0,
  lockTimeoutMs: 100_000,
  logLevel: "info",
} as const;

Deno.test("a configuration with a name alone has defaults for all else", async () => {
  assertEquals(await parseConfig('{"name":"net"}'), {
    cniVersion: "0.1.0",
    name: "net",
    ...DEFAULTS,
  });
});

Deno.test("null and empty text are as good as absent", async () => {
  const empty = { deviceID: "", logFile: "", cniVersion: "", rdmaDeviceName: "" };
  const nulls = {
    ...{ type: null, allowPF: null, logLevel: null, args: null, runtimeConfig: null, prevResult: null },
    ...{
      rdmaDevices: null,
      optional: null,
      onSharedMode: null,
      rdmaQoS: null,
      rdmaLimits: null,
      requireActive: null,
      readyTimeoutMs: null,
      lockTimeoutMs: null,
    },
    ...{ rdmaDeviceName: null, rdmaDeviceNameConflict: null },
    ...{ "cni.dev/valid-attachments": null, "cni.dev/attachments": null },
  };
  assertEquals(await parse({ ...empty, ...nulls }), {
    cniVersion: "0.1.0",
    name: "net",
    ...DEFAULTS,
  });
  const runtimeConfig = { deviceID: null, CNIDeviceInfoFile: null };
  assertEquals((await parse({ args: { cni: null }, runtimeConfig })).logLevel, "info");
});

Deno.test("a Soft-RoCE device has a name of its own unless the configuration has another", async () => {
  const named = async (keys: object) => {
    const { softRoce, rdmaDeviceName } = await parse({ softRoCE: true, ...keys });
    return [softRoce, rdmaDeviceName];
  };
  assertEquals(await named({}), [true, "rxe{index}"]);
  assertEquals(await named({ rdmaDeviceName: "roce0" }), [true, "roce0"]);
  assertEquals(await named({ args: { cni: { rdmaDeviceName: "job42" } } }), [true, "job42"]);
  assertEquals(await named({ softRoCE: false }), [false, undefined]);
  assertEquals(await named({ deviceID: "", rdmaDevices: null, rdmaQoS: null }), [true, "rxe{index}"]);
});

Deno.test("a Soft-RoCE device and a function exclude each other, but for DEL and GC", async () => {
  const keys = { deviceID: "0000:3b:00.2", rdmaDevices: "first", rdmaQoS: { tos: 104 } };
  const text = JSON.stringify({ ...MINIMUM, softRoCE: true, ...keys, "cni.dev/valid-attachments": [] });
  for (const command of ["ADD", "CHECK", "STATUS"] as const) {
    await assertRefused(text, 7, command, "deviceID, rdmaDevices, rdmaQoS", "remove softRoCE");
  }
  for (const command of ["DEL", "GC"] as const) {
    assertEquals((await parseConfig(text, command)).softRoce, true);
  }
});

Deno.test("every key that the plugin reads arrives", async () => {
  const config = await parse({
    deviceID: "0000:3b:00.2",
    allowPF: false,
    rdmaDevices: ["mlx5_2", 2],
    optional: true,
    onSharedMode: "skip",
    rdmaDeviceName: "rdma_{ifname}",
    rdmaDeviceNameConflict: "keep",
    rdmaQoS: { tos: 104, trafficClass: 106 },
    rdmaLimits: { hcaHandle: 2, hcaObject: "max" },
    requireActive: true,
    readyTimeoutMs: 60_000,
    lockTimeoutMs: 3_600_000,
    runtimeConfig: { CNIDeviceInfoFile: "/run/k8s.cni.cncf.io/devinfo/cni/a" },
    logLevel: "warning",
    logFile: "/var/log/rdma.log",
    prevResult: { interfaces: [] },
    "cni.dev/valid-attachments": [{ containerID: "a", ifname: "net1", more: 1 }],
  });
  assertEquals(config as unknown, {
    ...MINIMUM,
    deviceId: "0000:3b:00.2",
    allowPf: false,
    rdmaDevices: ["mlx5_2", 2],
    softRoce: false,
    optional: true,
    onSharedMode: "skip",
    rdmaDeviceName: "rdma_{ifname}",
    rdmaDeviceNameConflict: "keep",
    rdmaQos: { tos: 104, trafficClass: 106 },
    rdmaLimits: { hcaHandle: 2, hcaObject: "max" },
    requireActive: true,
    readyTimeoutMs: 60_000,
    lockTimeoutMs: 3_600_000,
    deviceInfoFile: "/run/k8s.cni.cncf.io/devinfo/cni/a",
    logLevel: "warning",
    logFile: "/var/log/rdma.log",
    prevResult: { interfaces: [] },
    validAttachments: [{ containerID: "a", ifname: "net1", more: 1 }],
  });
});

Deno.test("the runtime's deviceID goes before the configuration's, unless it is empty", async () => {
  const runtime = (deviceID: string) => parse({ deviceID: "own", runtimeConfig: { deviceID } });
  assertEquals((await runtime("given")).deviceId, "given");
  assertEquals((await runtime("")).deviceId, "own");
});

Deno.test("a device's name in args.cni goes before the configuration's, unless it is empty", async () => {
  const own = { rdmaDeviceName: "own" };
  assertEquals((await parse({ ...own, args: { cni: { rdmaDeviceName: "pod's" } } })).rdmaDeviceName, "pod's");
  assertEquals((await parse({ args: { cni: { rdmaDeviceName: "pod's" } } })).rdmaDeviceName, "pod's");
  for (const nothing of ["", null, undefined]) {
    assertEquals((await parse({ ...own, args: { cni: { rdmaDeviceName: nothing } } })).rdmaDeviceName, "own");
  }
});

Deno.test("one setting of QoS is enough, and zero is one", async () => {
  assertEquals((await parse({ rdmaQoS: { tos: 0 } })).rdmaQos, { tos: 0 });
  assertEquals((await parse({ rdmaQoS: { tos: null, trafficClass: 255 } })).rdmaQos, { trafficClass: 255 });
});

Deno.test("one limit is enough, and zero is one", async () => {
  assertEquals((await parse({ rdmaLimits: { hcaHandle: 0 } })).rdmaLimits, { hcaHandle: 0 });
  assertEquals((await parse({ rdmaLimits: { hcaHandle: null, hcaObject: 2147483646 } })).rdmaLimits, {
    hcaObject: 2147483646,
  });
});

Deno.test("limits without one that is known are none", async () => {
  for (const rdmaLimits of [{}, { handles: 1 }, { hcaHandle: null }]) {
    assertEquals((await parse({ rdmaLimits })).rdmaLimits, undefined);
  }
});

Deno.test("QoS as NVIDIA's fork has it: tc is the traffic class, which a driver may lack", async () => {
  const optional = { trafficClass: 96, isTrafficClassOptional: true } as const;
  assertEquals((await parse({ rdmaQoS: { tos: 96, tc: 96 } })).rdmaQos, { tos: 96, ...optional });
  assertEquals((await parse({ rdmaQoS: { tc: 96, trafficClass: null } })).rdmaQos, optional);
  assertEquals((await parse({ rdmaQoS: { tc: 96, trafficClass: 96 } })).rdmaQos, { trafficClass: 96 });
  assertEquals((await parse({ rdmaQoS: "inherit" })).rdmaQos, { tos: "host" });
});

Deno.test("two traffic classes are code 7, but for DEL and GC", async () => {
  const text = JSON.stringify({ ...MINIMUM, rdmaQoS: { trafficClass: 106, tc: 96 } });
  for (const command of ["ADD", "CHECK", "STATUS"] as const) {
    await assertRefused(
      text,
      7,
      command,
      "rdmaQoS.trafficClass is 106, but rdmaQoS.tc, the same, is 96",
      "remove",
    );
  }
  for (const command of ["DEL", "GC"] as const) await parseConfig(text, command);
});

Deno.test("unknown keys of QoS are ignored", async () => {
  assertEquals((await parse({ rdmaQoS: { tos: 1, dscp: 26 } })).rdmaQos, { tos: 1 });
  for (const rdmaQoS of [{}, { dscp: 26 }, { tos: null }]) {
    assertEquals((await parse({ rdmaQoS })).rdmaQos, {});
  }
});

Deno.test("the newer of the two keys for valid attachments counts", async () => {
  const older = { "cni.dev/attachments": [{ containerID: "old", ifname: "net1" }] };
  assertEquals((await parse({ ...older, "cni.dev/valid-attachments": [] })).validAttachments, []);
  assertEquals((await parse(older)).validAttachments, [{ containerID: "old", ifname: "net1" }]);
});

Deno.test("args.cni.debug makes the log verbose, whatever logLevel says", async () => {
  assertEquals((await parse({ logLevel: "error", args: { cni: { debug: true } } })).logLevel, "debug");
  assertEquals((await parse({ logLevel: "error", args: { cni: { debug: false } } })).logLevel, "error");
});

Deno.test("unknown keys do no harm", async () => {
  assertEquals((await parse({ rdmaIsolation: true, isRdma: [], "x.y/z": null })).name, "net");
});

for (const version of CNI_VERSIONS) {
  Deno.test(`cniVersion ${version} is known`, async () => {
    assertEquals((await parse({ cniVersion: version })).cniVersion, version);
  });
}

for (const version of ["1.2.0", "0.0.1", "1.0", "v1.0.0", 1, {}, ["1.0.0"], true]) {
  Deno.test(`cniVersion ${JSON.stringify(version)} is code 1, with the known ones`, async () => {
    const text = JSON.stringify({ ...MINIMUM, cniVersion: version });
    for (const command of ["ADD", "DEL"] as const) {
      await assertRefused(text, 1, command, JSON.stringify(version), CNI_VERSIONS.join(", "));
    }
  });
}

for (const text of ["", "{", "nonsense", "[]", "null", "1", '"text"', '{"name":"net"} {}', "\ufeff"]) {
  Deno.test(`${JSON.stringify(text)} as configuration is code 6`, () => assertRefused(text, 6));
}

const WRONG: [path: string, keys: object][] = [
  ["name", { name: "" }],
  ["name", { name: "-net" }],
  ["name", { name: "a/b" }],
  ["name", { name: undefined }],
  ["type", { type: 1 }],
  ["deviceID", { deviceID: 1 }],
  ["allowPF", { allowPF: "false" }],
  ["rdmaDevices", { rdmaDevices: "second" }],
  ["rdmaDevices", { rdmaDevices: [] }],
  ["rdmaDevices[0]", { rdmaDevices: [0] }],
  ["rdmaDevices", { rdmaDevices: [1.5] }],
  ["rdmaDevices[1]", { rdmaDevices: ["mlx5_2", ""] }],
  ["optional", { optional: "true" }],
  ["onSharedMode", { onSharedMode: "warn" }],
  ["rdmaQoS", { rdmaQoS: [] }],
  ["rdmaQoS", { rdmaQoS: "host" }],
  ["rdmaQoS.tc", { rdmaQoS: { tos: 1, tc: 256 } }],
  ["rdmaQoS.tos", { rdmaQoS: { tos: 256 } }],
  ["rdmaQoS.tos", { rdmaQoS: { tos: "1" } }],
  ["rdmaQoS.trafficClass", { rdmaQoS: { tos: 1, trafficClass: -1 } }],
  ["rdmaQoS.trafficClass", { rdmaQoS: { trafficClass: 1.5 } }],
  ["rdmaLimits", { rdmaLimits: 1 }],
  ["rdmaLimits.hcaHandle", { rdmaLimits: { hcaHandle: -1 } }],
  ["rdmaLimits.hcaHandle", { rdmaLimits: { hcaHandle: "1" } }],
  ["rdmaLimits.hcaObject", { rdmaLimits: { hcaHandle: 1, hcaObject: 2147483647 } }],
  ["requireActive", { requireActive: 1 }],
  ["readyTimeoutMs", { readyTimeoutMs: -1 }],
  ["readyTimeoutMs", { readyTimeoutMs: 60_001 }],
  ["lockTimeoutMs", { lockTimeoutMs: -1 }],
  ["lockTimeoutMs", { lockTimeoutMs: 3_600_001 }],
  ["logLevel", { logLevel: "verbose" }],
  ["logFile", { logFile: "rdma.log" }],
  ["logFile", { logFile: "/a\nb" }],
  ["rdmaDeviceName", { rdmaDeviceName: ["rdma0"] }],
  ["rdmaDeviceNameConflict", { rdmaDeviceNameConflict: "ignore" }],
  ["args.cni.rdmaDeviceName", { args: { cni: { rdmaDeviceName: 0 } } }],
  ["args", { args: "debug" }],
  ["args.cni", { args: { cni: [] } }],
  ["args.cni.debug", { args: { cni: { debug: 1 } } }],
  ["runtimeConfig.deviceID", { runtimeConfig: { deviceID: {} } }],
  ["prevResult", { prevResult: [] }],
  ["prevResult.cniVersion", { prevResult: { cniVersion: 1 } }],
  ["prevResult.interfaces", { prevResult: { interfaces: {} } }],
  ["prevResult.interfaces[1].name", { prevResult: { interfaces: [{}, { name: 1 }] } }],
  ["prevResult.interfaces[0].pciID", { prevResult: { interfaces: [{ pciID: [] }] } }],
  ['["cni.dev/attachments"][1].ifname', {
    "cni.dev/attachments": [{ containerID: "a", ifname: "b" }, { containerID: "a" }],
  }],
  ['["cni.dev/valid-attachments"][0]', { "cni.dev/valid-attachments": [null] }],
];

const DEVICE_INFO = "/var/run/k8s.cni.cncf.io/devinfo";

for (
  const path of [
    ...["/etc/passwd", "a", DEVICE_INFO, `${DEVICE_INFO}/`, `${DEVICE_INFO}/cni/`, `${DEVICE_INFO}/cni//a`],
    ...[`${DEVICE_INFO}/../a`, `${DEVICE_INFO}/cni/..`, `${DEVICE_INFO}/./a`, `${DEVICE_INFO}2/a`],
    ...[`/host${DEVICE_INFO}/a`, `${DEVICE_INFO}/a\0b`, "/var/run/k8sXcni.cncf.io/devinfo/a", 7],
  ]
) {
  WRONG.push(["runtimeConfig.CNIDeviceInfoFile", { runtimeConfig: { CNIDeviceInfoFile: path } }]);
}

for (const [path, keys] of WRONG) {
  Deno.test(`${JSON.stringify(keys)} is code 7 and names ${path}`, async () => {
    const text = JSON.stringify({ ...MINIMUM, ...keys });
    const error = await assertRejects(
      () => parseConfig(text),
      CniError,
      `Cannot use network configuration: ${path}: `,
    );
    assertEquals(error.code, 7);
  });
}

for (const [path, keys] of WRONG) {
  if (path === "name") {
    Deno.test(`${JSON.stringify(keys)} is code 7 for DEL and GC too`, async () => {
      const text = JSON.stringify({ ...MINIMUM, ...keys });
      for (const command of ["DEL", "GC"] as const) await assertRefused(text, 7, command, "name: ");
    });
    continue;
  }

  const ignored = path.replace(/(.)\[\d+\].*$/, "$1"); // of a list that has a wrong entry nothing is used
  Deno.test(`${JSON.stringify(keys)}: DEL ignores ${ignored} and nothing else`, async () => {
    const text = JSON.stringify({ ...MINIMUM, deviceID: "0000:3b:00.2", ...keys });
    const { ignoredKeys, deviceId, rdmaLimits: _, ...config } = await parseConfig(text, "DEL");
    assertEquals(ignoredKeys, [/^rdmaQoS/.exec(ignored)?.[0] ?? ignored]);
    assertEquals(deviceId, path === "deviceID" ? undefined : "0000:3b:00.2");
    assertEquals(config, { ...MINIMUM, ...DEFAULTS } as typeof config);
  });
}

Deno.test("DEL keeps what is right beside what is wrong", async () => {
  const wrong = { args: { cni: { debug: "yes", rdmaDeviceName: "rdma0" } }, logFile: "/log", logLevel: 1 };
  assertEquals(await parseConfig(JSON.stringify({ ...MINIMUM, ...wrong }), "DEL"), {
    ...{ ...MINIMUM, cniVersion: "1.0.0" },
    ...DEFAULTS,
    rdmaDeviceName: "rdma0",
    logFile: "/log",
    ignoredKeys: ["logLevel", "args.cni.debug"],
  });
});

Deno.test("GC refuses a wrong list of attachments, but ignores the older list beside a good one", async () => {
  const [newer, older] = ["cni.dev/valid-attachments", "cni.dev/attachments"];
  for (
    const keys of [{ [newer]: [{}] }, { [newer]: {}, [older]: [] }, { [older]: 1 }, {
      [newer]: null,
      [older]: 1,
    }]
  ) {
    await assertRefused(JSON.stringify({ ...MINIMUM, ...keys }), 7, "GC", "attachments");
  }
  const text = JSON.stringify({ ...MINIMUM, [newer]: [], [older]: [1], allowPF: 3 });
  const { validAttachments, ignoredKeys } = await parseConfig(text, "GC");
  assertEquals([validAttachments, ignoredKeys], [[], ["allowPF", '["cni.dev/attachments"]']]);
});

Deno.test("ADD reads 1,000 levels within each other, and any number side by side", async () => {
  const nest = (depth: number) => `{"name":"net","a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
  const padding = " ".repeat(2000); // a short text is not counted
  assertEquals((await parseConfig(nest(1000) + padding)).name, "net");
  await assertRefused(nest(1001) + padding, 6, "ADD", "more than 1000 levels");
  const flat = { name: "net", a: Array(3000).fill([{}]), b: '[{"\\'.repeat(3000) };
  assertEquals((await parseConfig(JSON.stringify(flat))).name, "net");
});

Deno.test("DEL and GC read what is nested too deeply for the others", async () => {
  for (const depth of [1000, 9000, 200_000]) {
    const deep = "[".repeat(depth) + "]".repeat(depth);
    const text = `{"name":"net","args":{"cni":{"a":${deep},"debug":${deep}}}}`;
    await assertRefused(text, 6, "ADD", "levels deep");
    for (const command of ["DEL", "GC"] as const) {
      const { name, ignoredKeys } = await parseConfig(text, command);
      assertEquals([name, ignoredKeys], ["net", ["args.cni.debug"]]);
    }
  }
});

Deno.test("all that is wrong is told at once", () => {
  const text = JSON.stringify({ ...MINIMUM, logLevel: "loud", allowPF: 1, deviceID: 2 });
  return assertRefused(text, 7, "ADD", "deviceID: ", "; allowPF: ", "; logLevel: ");
});

for (
  const number of ["18446744073709551615", "-9007199254740993", "1e400", "1.0", "1E2", "-0", "0.1", "12"]
) {
  Deno.test(`the number ${number} leaves as it came`, async () => {
    const prevResult = `{"cniVersion":"1.0.0","mtu":${number}}`;
    const compact = `{"cniVersion":"1.0.0","name":"net","prevResult":${prevResult}}`;
    for (const text of [compact, ` ${compact}\n`]) {
      assertEquals(formatResult(await parseConfig(text)), prevResult);
    }
  });
}
