import { judgeNetwork } from "../../../../src/cli/validate/network.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

type Plugins = readonly object[];

const RDMA = { type: "rdma" };
const SOFT_ROCE = { type: "rdma", softRoCE: true };
const SRIOV = { type: "sriov" };
const IB_SRIOV = { type: "ib-sriov" };
const MACVLAN = { type: "macvlan" };
const BRIDGE = { type: "bridge" };
const TUNING = { type: "tuning" };
const HOST_DEVICE = { type: "host-device" };
const ISOLATING = { ...IB_SRIOV, rdmaIsolation: true };
const BY_CAPABILITY = { capabilities: { deviceID: true } };
const [A, B] = [{ deviceID: "0000:3b:00.2" }, { deviceID: "0000:3b:00.3" }];

// What Multus knows of the network; nothing of one in a file.
const IN_FILE = undefined;
const WITH_RESOURCE = { resource: "mellanox.com/sriov_rdma" };
const SHARED = { resource: "rdma/hca_shared_devices_a" };
const WITHOUT_RESOURCE = {};

const withDelegate = (delegate: object, more: object = {}) => ({ ...RDMA, ...more, delegate });

function judge(plugins: Plugins, attachment: { resource?: string } | undefined, more: object = {}) {
  return judgeNetwork({ cniVersion: "1.0.0", name: "roce", plugins, ...more }, attachment);
}

const GOOD: [plugins: Plugins, attachment: { resource?: string } | undefined][] = [
  [[SRIOV, RDMA], WITH_RESOURCE],
  [[SRIOV, RDMA], SHARED],
  [[SRIOV, RDMA], IN_FILE],
  [[MACVLAN, TUNING, RDMA], WITH_RESOURCE],
  [[SRIOV, RDMA, TUNING, { type: "portmap" }], WITH_RESOURCE],
  [[SRIOV, RDMA, { type: "coordinator" }, { type: "rail" }], WITH_RESOURCE],
  [[{ ...SRIOV, ...A }, { ...RDMA, ...A }], IN_FILE],
  [[HOST_DEVICE, { ...RDMA, ...A }], WITHOUT_RESOURCE],
  // Multus replaces the deviceIDs.
  [[{ ...SRIOV, ...B }, { ...RDMA, ...A }], WITH_RESOURCE],
  [[{ ...HOST_DEVICE, ...BY_CAPABILITY }, { ...RDMA, ...BY_CAPABILITY }], IN_FILE],
  [[{ ...HOST_DEVICE, capabilities: { deviceID: false } }, RDMA], IN_FILE],
  [[{ ...HOST_DEVICE, ...BY_CAPABILITY }, RDMA], WITH_RESOURCE],
  [
    [SRIOV, { ...RDMA, args: { cni: { ips: [] } }, capabilities: { ips: true }, "a.org/b": 1 }],
    WITH_RESOURCE,
  ],
  [[SRIOV, { ...RDMA, dns: {}, ipam: {} }], WITH_RESOURCE],
  // Name and version are the list's, whatever the plugin's own say.
  [[SRIOV, { ...RDMA, name: "-a", cniVersion: "9.0.0" }], WITH_RESOURCE],
  [[BRIDGE, SOFT_ROCE], WITHOUT_RESOURCE],
  [[{ ...HOST_DEVICE, ...BY_CAPABILITY }, SOFT_ROCE], IN_FILE],
  [[withDelegate({ ...SRIOV, vlan: 5, ipam: {} })], IN_FILE],
  [[withDelegate(SRIOV)], WITH_RESOURCE],
  // Another runtime than Multus gives it the function.
  [[withDelegate(SRIOV)], WITHOUT_RESOURCE],
  [[withDelegate({ ...SRIOV, ...B }, A)], IN_FILE],
  [[withDelegate({ ...SRIOV, capabilities: { mac: true } }, { capabilities: { mac: true } })], IN_FILE],
  [[withDelegate(BRIDGE, { softRoCE: true })], IN_FILE],
  [[ISOLATING, TUNING], WITH_RESOURCE],
];

for (const [plugins, attachment] of GOOD) {
  Deno.test(`no fault in ${JSON.stringify(plugins)} with ${JSON.stringify(attachment)}`, async () => {
    assertEquals(await judge(plugins, attachment), []);
  });
}

Deno.test("not this plugin's network: ib-sriov that is told not to isolate", async () => {
  assertEquals(await judge([{ ...IB_SRIOV, rdmaIsolation: false }], WITH_RESOURCE), undefined);
});

const FAULTY: [attachment: { resource?: string } | undefined, plugins: Plugins, told: RegExp][] = [
  [WITH_RESOURCE, [RDMA], /^problem plugins.0: .*not chained.* -> .*after one such as "sriov"/],
  [WITH_RESOURCE, [TUNING, RDMA], /^problem plugins.1: .*not chained/],
  [WITH_RESOURCE, [RDMA, SRIOV], /^problem plugins.0: .*before "sriov".* -> .*after "sriov"/],
  [WITH_RESOURCE, [SRIOV, RDMA, HOST_DEVICE], /^problem plugins.1: .*before "host-device"/],
  [
    WITH_RESOURCE,
    [SRIOV, RDMA, { type: "x" }],
    /^note .*before "x", which is not known.* -> .*to the end if/,
  ],
  [WITH_RESOURCE, [SRIOV, RDMA, { type: "amd-host-device" }], /^problem .*before "amd-host-device"/],
  [WITH_RESOURCE, [SRIOV, RDMA, RDMA], /^problem plugins.2: .*twice.* -> .*remove the second/],
  [IN_FILE, [withDelegate(RDMA)], /^problem plugins.0.delegate.type: .*delegate.type: must be/],
  [IN_FILE, [withDelegate({})], /^problem plugins.0.delegate.*: .*delegate.type: /],
  [IN_FILE, [{ ...RDMA, delegate: "sriov" }], /^problem plugins.0.delegate: /],
  [IN_FILE, [withDelegate(TUNING)], /^problem plugins.0: .*not chained/],
  [
    IN_FILE,
    [withDelegate({ ...SRIOV, ...A })],
    /^warning .*"sriov" has a "deviceID", "rdma" has none.* -> .*write "deviceID": "0000:3b:00.2" for "rdma"/,
  ],
  [
    IN_FILE,
    [withDelegate({ ...SRIOV, capabilities: { mac: true, ips: false } })],
    /^warning .*"sriov" declares the capability "mac", but "rdma".* -> .*"capabilities": { "mac": true } for "rdma" too/,
  ],
  [
    SHARED,
    [MACVLAN, RDMA],
    /^problem .*"macvlan" and the shared resource "rdma\/hca_shared_devices_a": it needs mode exclusive.* -> remove "rdma"/,
  ],
  [
    { resource: "nvidia.com/rdma_shared_device_a" },
    [{ type: "ipvlan" }, RDMA],
    /^problem .*the shared resource/,
  ],
  [
    WITHOUT_RESOURCE,
    [{ type: "ipvlan" }, RDMA],
    /^problem .*finds none by an interface of "ipvlan".* -> use "sriov"/,
  ],
  [IN_FILE, [BRIDGE, { ...SOFT_ROCE, ...A }], /^problem .*there is deviceID \(remove softRoCE, or deviceID/],
  [
    WITH_RESOURCE,
    [SRIOV, SOFT_ROCE],
    /^problem .*"softRoCE", but Multus gives it the function.* -> .*remove "softRoCE"/,
  ],
  [
    WITH_RESOURCE,
    [ISOLATING, RDMA],
    /^problem plugins.1: .*moves the RDMA device itself.* -> remove "rdma"$/,
  ],
  ...[
    [IB_SRIOV, RDMA],
    [RDMA, IB_SRIOV],
    [withDelegate(IB_SRIOV)],
    [{ ...IB_SRIOV, rdmaIsolation: false }, TUNING, RDMA],
    // Nothing is said of what goes with it.
    [{ ...IB_SRIOV, ...A }, { ...RDMA, logfile: "", allowPF: 1 }],
  ].map((plugins): [undefined, Plugins, RegExp] => [
    IN_FILE,
    plugins,
    /^problem .*the kernel would remove the interface.* -> remove "rdma" and write "rdmaIsolation": true for "ib-sriov"$/,
  ]),
  ...[IB_SRIOV, { ...IB_SRIOV, rdmaIsolation: "true" }].map((plugin): [object, Plugins, RegExp] => [
    WITH_RESOURCE,
    [TUNING, plugin],
    /^warning plugins.1: "ib-sriov" without "rdmaIsolation": true leaves the RDMA device .* -> write "rdmaIsolation": true/,
  ]),
  [WITHOUT_RESOURCE, [SRIOV, RDMA], /^problem .*"sriov" is given no.* -> .*annot/],
  [WITHOUT_RESOURCE, [HOST_DEVICE, RDMA], /^warning .*by the interface.* -> .*annotation/],
  // Multus fills no capability without a resource.
  [
    WITHOUT_RESOURCE,
    [HOST_DEVICE, { ...RDMA, ...BY_CAPABILITY }],
    /^warning .*neither a resource.* -> .*annotation/,
  ],
  [
    WITHOUT_RESOURCE,
    [{ ...SRIOV, ...A }, RDMA],
    /^warning .*"rdma" has none.* -> .*"deviceID": "0000:3b:00\.2"/,
  ],
  [
    IN_FILE,
    [{ ...SRIOV, ...A }, { ...RDMA, ...B }],
    /^problem .*00\.3", but "sriov" moves ".*00\.2".* -> .*"0000:3b:00\.2"/,
  ],
  [
    IN_FILE,
    [{ ...HOST_DEVICE, ...BY_CAPABILITY }, RDMA],
    /^warning .*capability "deviceID".* -> .*"capabilities": \{ "deviceID": true \}/,
  ],
  [
    IN_FILE,
    [SRIOV, { ...RDMA, logfile: "" }],
    /^warning plugins.1.logfile: .*"logfile".* -> write "logFile"$/,
  ],
  [IN_FILE, [SRIOV, { ...RDMA, mtu: 1 }], /^warning plugins.1.mtu: .*"mtu".* -> remove "mtu"$/],
];

for (const [attachment, plugins, told] of FAULTY) {
  Deno.test(`one verdict on ${JSON.stringify(plugins)} with ${JSON.stringify(attachment)}`, async () => {
    const verdicts = (await judge(plugins, attachment))!;
    const lines = verdicts.map(({ level, path, text, fix }) =>
      `${level} ${path.join(".")}: ${text} -> ${fix}`
    );
    assertEquals(lines.length, 1, lines.join("\n"));
    assertMatch(lines[0]!, told);
  });
}

Deno.test("each fault is a verdict, with the path of what it is about", async () => {
  const plugin = { ...RDMA, mtu: 1, logLevel: "loud", args: { cni: { Debug: 1, debug: 1 } } };
  const verdicts = await judge([plugin, SRIOV, {}], WITH_RESOURCE, { name: "-a", cniVersion: "9.0.0" });
  assertEquals(verdicts!.map(({ level, path }) => `${level} ${path.join(".")}`), [
    "problem plugins.2",
    "problem plugins.0",
    "warning plugins.0.mtu",
    "warning plugins.0.args.cni.Debug",
    "problem name",
    "problem plugins.0.logLevel",
    "problem plugins.0.args.cni.debug",
    "problem cniVersion",
  ]);
  assertMatch(verdicts!.at(-1)!.text, /"9\.0\.0" is not supported \(supported versions: 0\.1\.0, /);
  const single = await judgeNetwork({ ...plugin, name: "roce" });
  assertEquals(single!.map(({ path }) => path.join(".")), [
    ...["", "mtu", "args.cni.Debug", "logLevel", "args.cni.debug"],
  ]);
});
