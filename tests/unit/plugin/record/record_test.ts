import { ValueError } from "../../../../src/plugin/config/rules.ts";
import { type AttachmentRecord, formatRecord, parseRecord } from "../../../../src/plugin/record/record.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { assertMakes, assertRefuses } from "../../../support/table.ts";

const NETNS = { path: "/run/netns/pod", inode: 4026532001, cookie: "18446744073709551615" };
const DEVICE = { index: 4, hostName: "mlx5_4", podName: "mlx5_4" };
const RECORD: AttachmentRecord = {
  attachment: { network: "net", containerID: "container1", ifname: "net1" },
  deviceId: "0000:3b:00.2",
  devices: [DEVICE, { index: 5, hostName: "smi0", podName: "smi0" }],
  netns: NETNS,
  bootId: "3f0c",
  bootTimeUs: 8_640_000_000_001,
  createdAt: Date.UTC(2026, 1, 3, 4, 5, 6, 7),
};

/** As the Go plugin writes it. */
const GO_RECORD = {
  ...{ version: "1.0", deviceID: "0000:3b:00.2" },
  ...{ sandboxRdmaDevName: "mlx5_4", containerRdmaDevName: "mlx5_9" },
};

const raw = (): Record<string, unknown> => JSON.parse(formatRecord(RECORD));
/** Reads a record that has other keys. */
const parse = (keys: object) => parseRecord(JSON.stringify({ ...raw(), ...keys }), 1000);

const [CGROUP, SOFT_ROCE] = ["/kubepods.slice/kubepods-pod1.slice", { deviceId: "rxe:net1", softRoce: true }];

const CHANGES: Partial<AttachmentRecord>[] = [
  {},
  { netns: { path: "/run/netns/pod", inode: 7 } },
  SOFT_ROCE,
  // It has no index before it is made.
  { ...SOFT_ROCE, devices: [{ hostName: "rdma-cni-1", podName: "rdma-cni-1" }] },
  { pod: { namespace: "team-a", name: "trainer-0" } },
  ...[{}, { hadGroup: true }, { trafficClass: [-1, 106], tos: [0, 255], hadGroup: false }]
    .map((qos) => ({ devices: [{ ...DEVICE, qos }] })),
  { limits: { cgroup: CGROUP, hcaHandle: 0 } },
  { limits: { cgroup: CGROUP, hcaHandle: 2, hcaObject: "max" } },
];

for (const change of CHANGES) {
  Deno.test(`a record with ${JSON.stringify(change)} is read as it was written`, () => {
    const record = { ...RECORD, ...change };
    assertEquals(parseRecord(formatRecord(record), 0), record);
  });
}

Deno.test("records of earlier and later builds are read", () => {
  const { bootTimeUs, ...record } = RECORD;
  assertEquals(parse({ bootTimeUs: undefined }), record);
  assert(bootTimeUs! > 2 ** 32);
  assertEquals(parse({ version: "1.12", uverbs: ["uverbs0"] }), RECORD);
  assertEquals(parse({ createdAt: "yesterday" }).createdAt, 1000); // the file's time
});

Deno.test("a written record has what the Go plugin reads, also if it has no device", () => {
  const goKeys = (record: AttachmentRecord) => {
    const { version, deviceID, sandboxRdmaDevName, containerRdmaDevName } = JSON.parse(formatRecord(record));
    return [version, deviceID, sandboxRdmaDevName, containerRdmaDevName];
  };
  assertEquals(goKeys(RECORD), ["1.1", "0000:3b:00.2", "mlx5_4", "mlx5_4"]);
  assertEquals(goKeys({ ...RECORD, devices: [] }), ["1.1", "0000:3b:00.2", "", ""]);
});

const parseGo = (rdmaQoS?: unknown) => parseRecord(JSON.stringify({ ...GO_RECORD, rdmaQoS }), 1000);

Deno.test("a record of the Go plugin has one device by names, and the file's time", () => {
  const devices = [{ hostName: "mlx5_4", podName: "mlx5_9" }];
  assertEquals(parseGo(), { deviceId: "0000:3b:00.2", devices, createdAt: 1000 });
});

Deno.test("a record of NVIDIA's fork has the host's QoS, and 0 where no traffic class was set", () => {
  assertMakes<unknown, unknown>((rdmaQoS) => parseGo(rdmaQoS).devices[0]!.qos, [
    [{ tos: 32, tc: 8 }, { tos: [32], trafficClass: [8] }],
    [{ tos: 0, tc: 0 }, { tos: [0], trafficClass: [-1] }],
    [{ tos: 255, tc: 255 }, { tos: [255], trafficClass: [255] }],
    [null, undefined],
  ]);
  const tos = [{ tos: 1 }, { tos: -1, tc: 0 }, { tos: "1", tc: 1 }, { tos: 256, tc: 0 }];
  assertRefuses(parseGo, [[], ...tos, { tos: 0, tc: 256 }], ValueError);
});

Deno.test("the DEL of NVIDIA's fork finds the host's QoS in a record, if all that it would set is known", () => {
  const qosOf = (qos: object) =>
    JSON.parse(formatRecord({ ...RECORD, devices: [{ ...DEVICE, qos }] })).rdmaQoS;
  assertMakes(qosOf, [
    [{ tos: [32, 7], trafficClass: [8, 9], hadGroup: false }, { tos: 32, tc: 8 }],
    [{ tos: [0], trafficClass: [-1] }, { tos: 0, tc: 0 }],
    [{}, undefined],
    [{ tos: [32] }, undefined],
    [{ trafficClass: [8] }, undefined],
  ]);
  assertEquals(raw()["rdmaQoS"], undefined);
});

/** Values that are none of a key of a record, and of a device in it. */
const WRONG: Record<string, unknown[]> = {
  version: ["2.0", "0.9", "1", "1.", "1.x", "11.0", "", 1.1, undefined, null],
  deviceID: [undefined, null, 1],
  devices: [null, {}, "x", [null], [[]]],
  netns: [null, [], "x", {}, { ...NETNS, path: 1 }, { ...NETNS, inode: 1.5 }, { ...NETNS, cookie: 7 }],
  limits: [null, [], { hcaHandle: 1 }, { cgroup: 1 }, { cgroup: "/a", hcaObject: "none" }],
  pod: ["trainer-0", { namespace: "team-a" }],
  bootTimeUs: [null, "7", -1, 1.5, 1e300],
  ...{ bootID: [null, 7], createdAt: [null, 7] },
  ...{ network: [null, 7], containerID: [undefined, 7], ifname: [undefined, {}] },
};
const WRONG_OF_DEVICE: Record<string, unknown[]> = {
  // The kernel would take some of these for another one.
  index: [undefined, "4", -1, 2 ** 32, 2 ** 32 + 4, 1e300],
  ...{ hostName: [undefined], podName: [undefined] },
  qos: [null, [], 1, { tos: 1 }, { tos: ["1"] }, { trafficClass: [1.5] }, { trafficClass: null }],
};

Deno.test("wrong values are refused, and told by their keys", () => {
  for (const [key, values] of Object.entries(WRONG)) {
    assertRefuses((value) => parse({ [key]: value }), values, ValueError, key);
  }
  for (const [key, values] of Object.entries(WRONG_OF_DEVICE)) {
    assertRefuses((value) => parse({ devices: [{ ...DEVICE, [key]: value }] }), values, ValueError, key);
  }
  assertThrows(() => parse({ pod: { namespace: "a" } }), ValueError, '"pod.name" must be a string');
});

Deno.test("an empty file, a cut one and what is no object are refused", () => {
  assertThrows(() => parseRecord("", 0), ValueError, "it is empty");
  assertThrows(() => parseRecord(formatRecord(RECORD).slice(0, -1), 0), ValueError, "it is not JSON");
  assertRefuses((text) => parseRecord(text, 0), ["null", "[]", '"1.1"', "7"], ValueError, "not an object");
});
