import {
  type AttachmentRecord,
  formatRecord,
  parseRecord,
  type RecordedQos,
} from "../../../../src/plugin/record/record.ts";
import { ValueError } from "../../../../src/plugin/config/rules.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";

const RECORD: AttachmentRecord = {
  attachment: { network: "net", containerID: "container1", ifname: "net1" },
  deviceId: "0000:3b:00.2",
  devices: [
    { index: 4, hostName: "mlx5_4", podName: "mlx5_4" },
    { index: 5, hostName: "smi0", podName: "smi0" },
  ],
  netns: { path: "/run/netns/pod", inode: 4026532001, cookie: "18446744073709551615" },
  bootId: "3f0c",
  bootTimeUs: 8_640_000_000_001,
  createdAt: Date.UTC(2026, 1, 3, 4, 5, 6, 7),
};

/** As the Go plugin writes it. */
const GO_RECORD = {
  version: "1.0",
  deviceID: "0000:3b:00.2",
  sandboxRdmaDevName: "mlx5_4",
  containerRdmaDevName: "mlx5_9",
};

const parse = (value: unknown) => parseRecord(JSON.stringify(value), 1000);
const raw = (): Record<string, unknown> => JSON.parse(formatRecord(RECORD));

Deno.test("a record is read as it was written", () => {
  assertEquals(parseRecord(formatRecord(RECORD), 0), RECORD);
});

Deno.test("a record of an earlier build, which has no time of the boot, is read", () => {
  const { bootTimeUs, ...record } = RECORD;
  assertEquals(parse({ ...raw(), bootTimeUs: undefined }), record);
  assertEquals(bootTimeUs! > 2 ** 32, true);
});

Deno.test("a record without cookie is read as it was written", () => {
  const record = { ...RECORD, netns: { path: "/run/netns/pod", inode: 7 } };
  assertEquals(parseRecord(formatRecord(record), 0), record);
});

Deno.test("a record of a Soft-RoCE device, which has no index before it is made, is read as it was written", () => {
  for (const devices of [[{ hostName: "rdma-cni-1", podName: "rdma-cni-1" }], RECORD.devices]) {
    const record = { ...RECORD, deviceId: "rxe:net1", softRoce: true, devices };
    assertEquals(parseRecord(formatRecord(record), 0), record);
  }
});

Deno.test("a record of NVIDIA's fork has the host's QoS, and 0 where no traffic class was set", () => {
  const qosOf = (rdmaQoS: unknown) => parse({ ...GO_RECORD, rdmaQoS }).devices[0]!.qos;
  assertEquals(qosOf({ tos: 32, tc: 8 }), { tos: [32], trafficClass: [8] });
  assertEquals(qosOf({ tos: 0, tc: 0 }), { tos: [0], trafficClass: [-1] });
  assertEquals(qosOf({ tos: 255, tc: 255 }), { tos: [255], trafficClass: [255] });
  assertEquals([qosOf(null), qosOf(undefined)], [undefined, undefined]);
  for (
    const wrong of [[], { tos: 1 }, { tos: -1, tc: 0 }, { tos: "1", tc: 1 }, { tos: 256, tc: 0 }, {
      tos: 0,
      tc: 256,
    }]
  ) {
    assertThrows(() => qosOf(wrong), ValueError);
  }
});

Deno.test("the DEL of NVIDIA's fork finds the host's QoS in a record, if all that it would set is known", () => {
  const qosOf = (qos: RecordedQos | undefined) => {
    const device = { index: 4, hostName: "mlx5_4", podName: "mlx5_4", ...(qos ? { qos } : {}) };
    return JSON.parse(formatRecord({ ...RECORD, devices: [device] })).rdmaQoS;
  };
  assertEquals(qosOf({ tos: [32, 7], trafficClass: [8, 9], hadGroup: false }), { tos: 32, tc: 8 });
  assertEquals(qosOf({ tos: [0], trafficClass: [-1] }), { tos: 0, tc: 0 });
  for (const qos of [undefined, {}, { tos: [32] }, { trafficClass: [8] }]) {
    assertEquals(qosOf(qos), undefined);
  }
});

Deno.test("the Kubernetes pod is read as it was written", () => {
  const record = { ...RECORD, pod: { namespace: "team-a", name: "trainer-0" } };
  assertEquals(parseRecord(formatRecord(record), 0), record);
  assertThrows(() => parse({ ...raw(), pod: "trainer-0" }), ValueError, '"pod" must be an object');
  assertThrows(
    () => parse({ ...raw(), pod: { namespace: "team-a" } }),
    ValueError,
    '"pod.name" must be a string',
  );
});

Deno.test("what QoS the host had is read as it was written", () => {
  for (
    const qos of [{}, { hadGroup: true }, { trafficClass: [-1, 106], tos: [0, 255], hadGroup: false }]
  ) {
    const record = { ...RECORD, devices: [{ index: 4, hostName: "mlx5_4", podName: "mlx5_4", qos }] };
    assertEquals(parseRecord(formatRecord(record), 0), record);
  }
});

Deno.test("limits are read as they were written", () => {
  const cgroup = "/kubepods.slice/kubepods-pod1.slice";
  for (const limits of [{ cgroup, hcaHandle: 0 }, { cgroup, hcaHandle: 2, hcaObject: "max" as const }]) {
    assertEquals(parseRecord(formatRecord({ ...RECORD, limits }), 0), { ...RECORD, limits });
  }
});

Deno.test("limits of another form are refused", () => {
  for (const limits of [null, [], { hcaHandle: 1 }, { cgroup: 1 }, { cgroup: "/a", hcaObject: "none" }]) {
    assertThrows(() => parse({ ...raw(), limits }), ValueError);
  }
});

Deno.test("QoS of another form is refused", () => {
  for (
    const qos of [null, [], 1, { tos: 1 }, { tos: ["1"] }, { trafficClass: [1.5] }, { trafficClass: null }]
  ) {
    const device = { index: 4, hostName: "mlx5_4", podName: "mlx5_4", qos };
    assertThrows(() => parse({ ...raw(), devices: [device] }), ValueError, "qos");
  }
});

Deno.test("a written record has what the Go plugin reads", () => {
  const { version, deviceID, sandboxRdmaDevName, containerRdmaDevName } = raw();
  assertEquals([version, deviceID, sandboxRdmaDevName, containerRdmaDevName], [
    "1.1",
    "0000:3b:00.2",
    "mlx5_4",
    "mlx5_4",
  ]);
});

Deno.test("a record of the Go plugin has one device by names, and the file's time", () => {
  assertEquals(parse(GO_RECORD), {
    deviceId: "0000:3b:00.2",
    devices: [{ hostName: "mlx5_4", podName: "mlx5_9" }],
    createdAt: 1000,
  });
});

Deno.test("a newer minor version is read, its keys that are new passed over", () => {
  assertEquals(parse({ ...raw(), version: "1.12", uverbs: ["uverbs0"] }), RECORD);
});

Deno.test("a time that is none counts as the file's", () => {
  assertEquals(parse({ ...raw(), createdAt: "yesterday" }).createdAt, 1000);
});

for (const version of ["2.0", "0.9", "1", "1.", "1.x", "11.0", "", 1.1, undefined, null]) {
  Deno.test(`version ${JSON.stringify(version)} is refused`, () => {
    assertThrows(() => parse({ ...raw(), version }), ValueError, "version");
  });
}

const WRONG: Record<string, unknown[]> = {
  deviceID: [undefined, null, 1],
  devices: [null, {}, "x", [null], [[]], [{ index: "4", hostName: "a", podName: "b" }]],
  netns: [null, [], "x", {}, { path: 1, inode: 1 }, { path: "/a", inode: 1.5 }, {
    path: "/a",
    inode: 1,
    cookie: 7,
  }],
  bootID: [null, 7],
  bootTimeUs: [null, "7", -1, 1.5, 1e300],
  createdAt: [null, 7],
  network: [null, 7],
  containerID: [undefined, 7],
  ifname: [undefined, {}],
};

for (const [key, values] of Object.entries(WRONG)) {
  for (const value of values) {
    Deno.test(`${key} ${JSON.stringify(value)} is refused`, () => {
      assertThrows(() => parse({ ...raw(), [key]: value }), ValueError);
    });
  }
}

Deno.test("a record of no device has the keys of version 1.0 all the same", () => {
  const { sandboxRdmaDevName, containerRdmaDevName } = JSON.parse(formatRecord({ ...RECORD, devices: [] }));
  assertEquals([sandboxRdmaDevName, containerRdmaDevName], ["", ""]);
});

Deno.test("a device without index or name is refused", () => {
  for (const key of ["index", "hostName", "podName"]) {
    const device = { index: 1, hostName: "a", podName: "b", [key]: undefined };
    assertThrows(() => parse({ ...raw(), devices: [device] }), ValueError, key);
  }
});

Deno.test("an index that the kernel would take for another one is refused", () => {
  for (const index of [-1, 2 ** 32, 2 ** 32 + 4, 1e300]) {
    const device = { index, hostName: "a", podName: "b" };
    assertThrows(
      () => parse({ ...raw(), devices: [device] }),
      ValueError,
      "must be an integer from 0 to 4294967295",
    );
  }
});

Deno.test("an empty file, a cut one and what is no object are refused", () => {
  assertThrows(() => parseRecord("", 0), ValueError, "it is empty");
  assertThrows(() => parseRecord(formatRecord(RECORD).slice(0, -1), 0), ValueError, "it is not JSON");
  for (const value of [null, [], "1.1", 7]) {
    assertThrows(() => parse(value), ValueError, "not an object");
  }
});
