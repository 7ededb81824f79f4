import { judgeNetwork } from "../../../../src/cli/validate/network.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

/** What Multus knows of a network, if it is not in a file, and its plugins. */
type Network = [attachment: { resource?: string } | undefined, ...plugins: object[]];

const RDMA = { type: "rdma" };
const SOFT_ROCE = { type: "rdma", softRoCE: true };
const SRIOV = { type: "sriov" };
const IB_SRIOV = { type: "ib-sriov" };
const MACVLAN = { type: "macvlan" };
const IPVLAN = { type: "ipvlan" };
const UNKNOWN = { type: "x" };
const BRIDGE = { type: "bridge" };
const TUNING = { type: "tuning" };
const HOST_DEVICE = { type: "host-device" };
const ISOLATING = { ...IB_SRIOV, rdmaIsolation: true };
const BY_CAPABILITY = { capabilities: { deviceID: true } };
const [A, B] = [{ deviceID: "0000:3b:00.2" }, { deviceID: "0000:3b:00.3" }];

const FILE = undefined;
const RESOURCE = { resource: "mellanox.com/sriov_rdma" };
const SHARED = { resource: "rdma/hca_shared_devices_a" };
const NO_RESOURCE = {};

const withDelegate = (delegate: object, more: object = {}) => ({ ...RDMA, ...more, delegate });

function judge([attachment, ...plugins]: Network, more: object = {}) {
  return judgeNetwork({ cniVersion: "1.0.0", name: "roce", plugins, ...more }, attachment);
}

const GOOD: Network[] = [
  [RESOURCE, SRIOV, RDMA],
  [SHARED, SRIOV, RDMA],
  [FILE, SRIOV, RDMA],
  [RESOURCE, MACVLAN, TUNING, RDMA],
  [RESOURCE, SRIOV, RDMA, { type: "coordinator" }, { type: "rail" }],
  [NO_RESOURCE, HOST_DEVICE, { ...RDMA, ...A }],
  // Multus replaces the deviceIDs.
  [RESOURCE, { ...SRIOV, ...B }, { ...RDMA, ...A }],
  [FILE, { ...HOST_DEVICE, ...BY_CAPABILITY }, { ...RDMA, ...BY_CAPABILITY }],
  [FILE, { ...HOST_DEVICE, capabilities: { deviceID: false } }, RDMA],
  [RESOURCE, SRIOV, { ...RDMA, args: { cni: { ips: [] } }, capabilities: { ips: true }, "a.org/b": 1 }],
  [RESOURCE, SRIOV, { ...RDMA, dns: {}, ipam: {} }],
  // Name and version are the list's, whatever the plugin's own say.
  [RESOURCE, SRIOV, { ...RDMA, name: "-a", cniVersion: "9.0.0" }],
  [NO_RESOURCE, BRIDGE, SOFT_ROCE],
  [FILE, { ...HOST_DEVICE, ...BY_CAPABILITY }, SOFT_ROCE],
  [FILE, withDelegate({ ...SRIOV, vlan: 5, ipam: {} })],
  // Another runtime than Multus gives it the function.
  [NO_RESOURCE, withDelegate(SRIOV)],
  [FILE, withDelegate({ ...SRIOV, ...B }, A)],
  [FILE, withDelegate({ ...SRIOV, capabilities: { mac: true } }, { capabilities: { mac: true } })],
  [FILE, withDelegate(BRIDGE, { softRoCE: true })],
  [RESOURCE, ISOLATING, TUNING],
];

for (const network of GOOD) {
  Deno.test(`no fault in ${JSON.stringify(network)}`, async () => {
    assertEquals(await judge(network), []);
  });
}

Deno.test("not this plugin's network: ib-sriov that is told not to isolate", async () => {
  assertEquals(await judge([RESOURCE, { ...IB_SRIOV, rdmaIsolation: false }]), undefined);
});

/** Networks by what is said of them, as a pattern. */
const FAULTY: Record<string, Network[]> = {
  '^problem plugins.0: .*not chained.* -> .*after one such as "sriov"': [[RESOURCE, RDMA]],
  '^problem plugins.0: .*before "sriov".* -> .*after "sriov"': [[RESOURCE, RDMA, SRIOV]],
  '^problem plugins.1: .*before "host-device"': [[RESOURCE, SRIOV, RDMA, HOST_DEVICE]],
  '^problem .*before "amd-host-device"': [[RESOURCE, SRIOV, RDMA, { type: "amd-host-device" }]],
  '^note .*before "x", which is not known.* -> .*to the end if': [[RESOURCE, SRIOV, RDMA, UNKNOWN]],
  "^problem plugins.2: .*twice.* -> .*remove the second": [[RESOURCE, SRIOV, RDMA, RDMA]],
  "^problem plugins.0.delegate.type: .*delegate.type: must be": [[FILE, withDelegate(RDMA)]],
  "^problem plugins.0.delegate.*: .*delegate.type: .*is missing": [[FILE, withDelegate({})]],
  "^problem plugins.0: .*not chained": [[FILE, withDelegate(TUNING)]],
  '^warning .*"sriov" has a "deviceID", "rdma" has none.* -> write "deviceID": "0000:3b:00.2" for "rdma"$': [
    [NO_RESOURCE, { ...SRIOV, ...A }, RDMA],
    [FILE, withDelegate({ ...SRIOV, ...A })],
  ],
  '^problem .*00.3", but "sriov" moves ".*00.2".* -> .*"0000:3b:00.2"': [
    [FILE, { ...SRIOV, ...A }, { ...RDMA, ...B }],
  ],
  '^warning .*declares the capability "mac", but "rdma".* -> write "capabilities": { "mac": true } for "rdma" too':
    [
      [FILE, withDelegate({ ...SRIOV, capabilities: { mac: true, ips: false } })],
    ],
  '^warning .*capability "deviceID".* -> .*"capabilities": { "deviceID": true }': [
    [FILE, { ...HOST_DEVICE, ...BY_CAPABILITY }, RDMA],
  ],
  '^problem .*"macvlan" and the shared resource "rdma/hca_shared_devices_a": it needs mode exclusive': [
    [SHARED, MACVLAN, RDMA],
  ],
  '^problem .*"ipvlan" and the shared resource.* -> remove "rdma"': [
    [{ resource: "nvidia.com/rdma_shared_device_a" }, IPVLAN, RDMA],
  ],
  '^problem .*finds none by an interface of "ipvlan".* -> use "sriov"': [[NO_RESOURCE, IPVLAN, RDMA]],
  "^problem .*there is deviceID .remove softRoCE, or deviceID": [[FILE, BRIDGE, { ...SOFT_ROCE, ...A }]],
  '^problem .*"softRoCE", but Multus gives it the function.* -> .*remove "softRoCE"': [
    [RESOURCE, SRIOV, SOFT_ROCE],
  ],
  '^problem plugins.1: .*moves the RDMA device itself.* -> remove "rdma"$': [[RESOURCE, ISOLATING, RDMA]],
  'the kernel would remove the interface.* -> remove "rdma" and write "rdmaIsolation": true for "ib-sriov"$':
    [
      [RESOURCE, IB_SRIOV, RDMA],
      [RESOURCE, RDMA, IB_SRIOV],
      [FILE, withDelegate(IB_SRIOV)],
      [RESOURCE, { ...IB_SRIOV, rdmaIsolation: false }, TUNING, RDMA],
      // Nothing is said of what goes with it.
      [NO_RESOURCE, { ...IB_SRIOV, ...A }, { ...RDMA, logfile: "", allowPF: 1 }],
    ],
  '^warning plugins.1: "ib-sriov" without "rdmaIsolation": true leaves .* -> write "rdmaIsolation": true': [
    [RESOURCE, TUNING, IB_SRIOV],
    [RESOURCE, TUNING, { ...IB_SRIOV, rdmaIsolation: "true" }],
  ],
  '^problem .*"sriov" is given no.* -> .*annot': [[NO_RESOURCE, SRIOV, RDMA]],
  "^warning .*neither a resource.*by the interface.* -> .*annotation": [
    [NO_RESOURCE, HOST_DEVICE, RDMA],
    // Multus fills no capability without a resource.
    [NO_RESOURCE, HOST_DEVICE, { ...RDMA, ...BY_CAPABILITY }],
  ],
  '^warning plugins.1.logfile: .*"logfile".* -> write "logFile"$': [[FILE, SRIOV, { ...RDMA, logfile: "" }]],
  '^warning plugins.1.mtu: .*"mtu".* -> remove "mtu"$': [[FILE, SRIOV, { ...RDMA, mtu: 1 }]],
};

for (const [told, networks] of Object.entries(FAULTY)) {
  Deno.test(`one verdict: ${told}`, async () => {
    for (const network of networks) {
      const verdicts = (await judge(network))!;
      const lines = verdicts.map(({ level, path, text, fix }) =>
        `${level} ${path.join(".")}: ${text} -> ${fix}`
      );
      assertEquals(lines.length, 1, lines.join("\n"));
      assertMatch(lines[0]!, new RegExp(told));
    }
  });
}

Deno.test("each fault is a verdict, with the path of what it is about", async () => {
  const plugin = { ...RDMA, mtu: 1, logLevel: "loud", args: { cni: { Debug: 1, debug: 1 } } };
  const verdicts = await judge([RESOURCE, plugin, SRIOV, {}], { name: "-a", cniVersion: "9.0.0" });
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
