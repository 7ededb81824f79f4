import { judgeNetwork } from "../../../../src/cli/validate/network.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const RDMA = { type: "rdma" };
const SOFT_ROCE = { type: "rdma", softRoCE: true };
const SRIOV = { type: "sriov" };
const TUNING = { type: "tuning" };
const HOST_DEVICE = { type: "host-device" };
const IN_FILE = undefined;
const WITH_RESOURCE = { resource: "mellanox.com/sriov_rdma" };
const SHARED = { resource: "rdma/hca_shared_devices_a" };
const WITHOUT_RESOURCE = {};
const BY_CAPABILITY = { capabilities: { deviceID: true } };
const [A, B] = [{ deviceID: "0000:3b:00.2" }, { deviceID: "0000:3b:00.3" }];

const withDelegate = (delegate: object, more: object = {}) => ({ ...RDMA, ...more, delegate });

function judge(plugins: unknown[], attachment: { resource?: string } | undefined, more: object = {}) {
  return judgeNetwork({ cniVersion: "1.0.0", name: "roce", plugins, ...more }, attachment);
}

for (
  const [what, plugins, attachment] of [
    ["after a plugin that moves an interface", [SRIOV, RDMA], WITH_RESOURCE],
    ["after one that makes it, and one that tunes it", [{ type: "macvlan" }, TUNING, RDMA], WITH_RESOURCE],
    ["before plugins that leave interfaces alone", [SRIOV, RDMA, TUNING, { type: "portmap" }], WITH_RESOURCE],
    ["before coordinator and rail", [SRIOV, RDMA, { type: "coordinator" }, { type: "rail" }], WITH_RESOURCE],
    ["with a shared resource of a plugin that moves a function", [SRIOV, RDMA], SHARED],
    ["in a file, as Multus may find it", [SRIOV, RDMA], IN_FILE],
    ["with the same deviceID as the plugin before", [{ ...SRIOV, ...A }, { ...RDMA, ...A }], IN_FILE],
    ["with a deviceID of its own", [HOST_DEVICE, { ...RDMA, ...A }], WITHOUT_RESOURCE],
    ["with other deviceIDs, which Multus replaces", [{ ...SRIOV, ...B }, { ...RDMA, ...A }], WITH_RESOURCE],
    ["with the capability", [{ ...HOST_DEVICE, ...BY_CAPABILITY }, { ...RDMA, ...BY_CAPABILITY }], IN_FILE],
    ["after one that refuses it", [{ ...HOST_DEVICE, capabilities: { deviceID: false } }, RDMA], IN_FILE],
    ["with a resource instead", [{ ...HOST_DEVICE, ...BY_CAPABILITY }, RDMA], WITH_RESOURCE],
    [
      "with others' keys in shared objects",
      [SRIOV, { ...RDMA, args: { cni: { ips: [] }, mesos: 1 }, capabilities: { ips: true }, "a.org/b": 1 }],
      WITH_RESOURCE,
    ],
    ["with Soft-RoCE", [{ type: "bridge" }, SOFT_ROCE], WITHOUT_RESOURCE],
    ["with Soft-RoCE in a file", [{ ...HOST_DEVICE, ...BY_CAPABILITY }, SOFT_ROCE], IN_FILE],
    ["with a delegate, whose keys are its own", [withDelegate({ ...SRIOV, vlan: 5, ipam: {} })], IN_FILE],
    ["with a delegate in a cluster, for Multus", [withDelegate(SRIOV)], WITH_RESOURCE],
    ["with a delegate in a cluster, for another runtime", [withDelegate(SRIOV)], WITHOUT_RESOURCE],
    ["with a delegate that gets its deviceID", [withDelegate({ ...SRIOV, ...B }, A)], IN_FILE],
    ["with a delegate and its capabilities", [
      withDelegate({ ...SRIOV, capabilities: { mac: true } }, { capabilities: { mac: true } }),
    ], IN_FILE],
    ["with a delegate and Soft-RoCE", [withDelegate({ type: "bridge" }, { softRoCE: true })], IN_FILE],
    ["with the runtime's keys", [SRIOV, { ...RDMA, dns: {}, ipam: {} }], WITH_RESOURCE],
  ] as const
) {
  Deno.test(`no fault: the plugin ${what}`, async () =>
    assertEquals(await judge([...plugins], attachment), []));
}

Deno.test("no fault: ib-sriov that isolates, without the plugin", async () => {
  assertEquals(await judge([{ type: "ib-sriov", rdmaIsolation: true }, TUNING], WITH_RESOURCE), []);
});

Deno.test("a problem: the plugin with Soft-RoCE and a function", async () => {
  const verdicts = await judge([{ type: "bridge" }, { ...SOFT_ROCE, ...A }], IN_FILE);
  assertEquals(verdicts!.map(({ level }) => level), ["problem"]);
  assertMatch(verdicts![0]!.text, /there is deviceID \(remove softRoCE, or deviceID/);
});

Deno.test("not this plugin's network: ib-sriov that is told not to isolate", async () => {
  assertEquals(await judge([{ type: "ib-sriov", rdmaIsolation: false }], WITH_RESOURCE), undefined);
});

for (const rdmaIsolation of [undefined, "true"]) {
  Deno.test(`a warning: ib-sriov with rdmaIsolation ${rdmaIsolation}`, async () => {
    const plugins = [TUNING, { type: "ib-sriov", rdmaIsolation }];
    const [verdict, ...more] = (await judge(plugins, WITH_RESOURCE))!;
    assertEquals(more, []);
    assertEquals([verdict!.level, verdict!.path], ["warning", ["plugins", 1]]);
    assertMatch(
      verdict!.text,
      /^"ib-sriov" without "rdmaIsolation": true leaves the RDMA device on the host/,
    );
    assertEquals(verdict!.fix, 'write "rdmaIsolation": true for "ib-sriov"');
  });
}

for (
  const [what, plugins, attachment, told] of [
    ["alone", [RDMA], WITH_RESOURCE, /^problem: .*not chained.* -> .*after one such as "sriov"/],
    ["with itself as delegate", [withDelegate(RDMA)], IN_FILE, /^problem: .*delegate.type: must be/],
    ["with a delegate without type", [withDelegate({})], IN_FILE, /^problem: .*delegate.type: /],
    ["with a delegate that is none", [{ ...RDMA, delegate: "sriov" }], IN_FILE, /^problem: /],
    ["with a delegate that makes no interface", [withDelegate(TUNING)], IN_FILE, /^problem: .*not chained/],
    [
      "with ib-sriov as delegate",
      [withDelegate({ type: "ib-sriov" })],
      IN_FILE,
      /^problem: .*the kernel would remove the interface/,
    ],
    [
      "with a delegate that alone has a deviceID",
      [withDelegate({ ...SRIOV, ...A })],
      IN_FILE,
      /^warning: .*"sriov" has a "deviceID", "rdma" has none.* -> .*write "deviceID": "0000:3b:00.2" for "rdma"/,
    ],
    [
      "with a delegate that alone declares a capability",
      [withDelegate({ ...SRIOV, capabilities: { mac: true, ips: false } })],
      IN_FILE,
      /^warning: .*"sriov" declares the capability "mac", but "rdma".* -> .*write "capabilities": { "mac": true } for "rdma" too/,
    ],
    ["after no interface", [TUNING, RDMA], WITH_RESOURCE, /^problem: .*not chained/],
    ["before one", [RDMA, SRIOV], WITH_RESOURCE, /^problem: .*before "sriov".* -> .*after "sriov"/],
    ["between two that move", [SRIOV, RDMA, HOST_DEVICE], WITH_RESOURCE, /^problem: .*before "host-device"/],
    [
      "before an unknown one",
      [SRIOV, RDMA, { type: "x" }],
      WITH_RESOURCE,
      /^note: .*before "x", which is not known.* -> .*to the end if/,
    ],
    [
      "before amd-host-device",
      [SRIOV, RDMA, { type: "amd-host-device" }],
      WITH_RESOURCE,
      /^problem: .*before "amd-host-device".* -> .*after "amd-host-device"/,
    ],
    [
      "after macvlan with a shared resource",
      [{ type: "macvlan" }, RDMA],
      SHARED,
      /^problem: .*"macvlan" and the shared resource "rdma\/hca_shared_devices_a": it needs mode exclusive.* -> remove "rdma" and keep mode shared, or/,
    ],
    [
      "after ipvlan with a shared resource of another prefix",
      [{ type: "ipvlan" }, RDMA],
      { resource: "nvidia.com/rdma_shared_device_a" },
      /^problem: .*"ipvlan" and the shared resource.* -> remove "rdma"/,
    ],
    [
      "after ipvlan without a resource",
      [{ type: "ipvlan" }, RDMA],
      WITHOUT_RESOURCE,
      /^problem: .*finds none by an interface of "ipvlan".* -> use "sriov" or "host-device"/,
    ],
    [
      "with Soft-RoCE and a resource",
      [SRIOV, SOFT_ROCE],
      WITH_RESOURCE,
      /^problem: .*"softRoCE", but Multus gives it the function.* -> .*remove "softRoCE", or the annotation/,
    ],
    ["twice", [SRIOV, RDMA, RDMA], WITH_RESOURCE, /^problem: .*twice.* -> .*remove the second/],
    [
      "after ib-sriov that isolates",
      [{ type: "ib-sriov", rdmaIsolation: true }, RDMA],
      WITH_RESOURCE,
      /^problem: .*moves the RDMA device itself.* -> remove "rdma"$/,
    ],
    [
      "after ib-sriov",
      [{ type: "ib-sriov" }, RDMA],
      WITH_RESOURCE,
      /^problem: .*the kernel would remove the interface.* -> remove "rdma" and write "rdmaIsolation": true for "ib-sriov"$/,
    ],
    [
      "after ib-sriov that must not isolate",
      [{ type: "ib-sriov", rdmaIsolation: false }, TUNING, RDMA],
      WITH_RESOURCE,
      /^problem: .*the kernel would remove the interface.* -> .*"rdmaIsolation": true/,
    ],
    [
      "after ib-sriov, with faults that go with it",
      [{ type: "ib-sriov", ...A }, { ...RDMA, logfile: "", allowPF: 1 }],
      WITHOUT_RESOURCE,
      /^problem: .*the kernel would remove the interface.* -> remove "rdma" and/,
    ],
    [
      "before ib-sriov, where it must not be moved to the end",
      [RDMA, { type: "ib-sriov" }],
      WITH_RESOURCE,
      /^problem: .*the kernel would remove the interface.* -> remove "rdma" and/,
    ],
    [
      "after sriov that gets no function",
      [SRIOV, RDMA],
      WITHOUT_RESOURCE,
      /^problem: .*"sriov" is given no.* -> .*annot/,
    ],
    [
      "without function",
      [HOST_DEVICE, RDMA],
      WITHOUT_RESOURCE,
      /^warning: .*by the interface.* -> .*annotation/,
    ],
    [
      "with a capability that Multus does not fill",
      [HOST_DEVICE, { ...RDMA, ...BY_CAPABILITY }],
      WITHOUT_RESOURCE,
      /^warning: .*neither a resource.* -> .*annotation/,
    ],
    [
      "without the deviceID of the plugin before",
      [{ ...SRIOV, ...A }, RDMA],
      WITHOUT_RESOURCE,
      /^warning: .*"rdma" has none.* -> .*"deviceID": "0000:3b:00\.2"/,
    ],
    [
      "with another deviceID",
      [{ ...SRIOV, ...A }, { ...RDMA, ...B }],
      IN_FILE,
      /^problem: .*00\.3", but "sriov" moves ".*00\.2".* -> .*"0000:3b:00\.2"/,
    ],
    [
      "without the capability of the plugin before",
      [{ ...HOST_DEVICE, ...BY_CAPABILITY }, RDMA],
      IN_FILE,
      /^warning: .*capability "deviceID".* -> .*"capabilities": \{ "deviceID": true \}/,
    ],
    [
      "with a key nearly right",
      [SRIOV, { ...RDMA, logfile: "" }],
      IN_FILE,
      /^warning: .*"logfile".* -> .*"logFile"/,
    ],
    [
      "with a shared key nearly right",
      [SRIOV, { ...RDMA, args: { cni: { Debug: true } } }],
      IN_FILE,
      /^warning: .*"args\.cni\.Debug".* -> .*"args\.cni\.debug"/,
    ],
    [
      "with args nearly right",
      [SRIOV, { ...RDMA, args: { CNI: {} } }],
      IN_FILE,
      /^warning: .*"args\.CNI".* -> .*args\.cni/,
    ],
    [
      "with a capability nearly right",
      [SRIOV, { ...RDMA, capabilities: { deviceId: true } }],
      IN_FILE,
      /^warning: .*"capabilities\.deviceId".* -> .*"capabilities\.deviceID"/,
    ],
    ["with a key of its own", [SRIOV, { ...RDMA, mtu: 1 }], IN_FILE, /^warning: .*"mtu".* -> remove "mtu"$/],
  ] as const
) {
  Deno.test(`one verdict: the plugin ${what}`, async () => {
    const lines = (await judge([...plugins], attachment))!.map(({ level, text, fix }) =>
      `${level}: ${text} -> ${fix}`
    );
    assertEquals(lines.length, 1, lines.join("\n"));
    assertMatch(lines[0]!, told);
  });
}

Deno.test("wrong values are one problem each, by their paths", async () => {
  const plugin = { ...RDMA, allowPF: "no", logLevel: "loud", args: { cni: { debug: 1 } } };
  const verdicts = await judge([SRIOV, plugin], WITH_RESOURCE, { name: "-a", cniVersion: "9.0.0" });
  assertEquals(verdicts!.map(({ level, text }) => `${level} ${text.split(":")[0]}`), [
    "problem name",
    "problem allowPF",
    "problem logLevel",
    "problem args.cni.debug",
    "problem Cannot use network configuration",
  ]);
  assertMatch(
    verdicts!.at(-1)!.text,
    /cniVersion "9\.0\.0" is not supported \(supported versions: 0\.1\.0, /,
  );
});

Deno.test("name and version are the list's, whatever the plugin's own say", async () => {
  assertEquals(await judge([SRIOV, { ...RDMA, name: "-a", cniVersion: "9.0.0" }], WITH_RESOURCE), []);
  const verdicts = await judge([SRIOV, { ...RDMA, name: "roce" }], WITH_RESOURCE, { name: undefined });
  assertMatch(verdicts![0]!.text, /^name: /);
});

Deno.test("a verdict has the path of what it is about", async () => {
  const plugin = { ...RDMA, mtu: 1, logLevel: "loud", args: { cni: { Debug: 1, debug: 1 } } };
  const verdicts = await judge([plugin, SRIOV, {}], WITH_RESOURCE, { name: "-a", cniVersion: "9.0.0" });
  assertEquals(verdicts!.map(({ path }) => path.join(".")), [
    "plugins.2",
    "plugins.0",
    "plugins.0.mtu",
    "plugins.0.args.cni.Debug",
    "name",
    "plugins.0.logLevel",
    "plugins.0.args.cni.debug",
    "cniVersion",
  ]);
  const single = await judgeNetwork({ ...plugin, name: "roce" });
  assertEquals(single!.map(({ path }) => path.join(".")), [
    "",
    "mtu",
    "args.cni.Debug",
    "logLevel",
    "args.cni.debug",
  ]);
});
