import { judgeNetworkFile } from "../../../../src/cli/doctor/networks.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const RDMA = { type: "rdma" };
const SRIOV = { type: "sriov" };

async function judge(plugins: unknown, more: object = {}, file = "/etc/cni/net.d/a.conflist") {
  return await judgeNetworkFile(
    file,
    JSON.stringify({ cniVersion: "1.0.0", name: "roce", plugins, ...more }),
  );
}

Deno.test("a chain after an interface's plugin is good, with all keys that there are", async () => {
  const rdma = {
    ...RDMA,
    allowPF: false,
    logLevel: "debug",
    logFile: "/var/log/rdma.log",
    deviceID: "0000:3b:00.2",
    capabilities: { deviceID: true },
    rdmaDeviceName: "rdma_{ifname}",
    rdmaDeviceNameConflict: "keep",
    args: { cni: { debug: true, rdmaDeviceName: "rdma_{index}" } },
    "example.org/own": 1,
  };
  assertEquals(await judge([SRIOV, rdma]), []);
  assertEquals(await judge([{ type: "macvlan" }, { type: "tuning" }, RDMA, { type: "portmap" }]), []);
});

Deno.test("ib-sriov that isolates is good without the plugin", async () => {
  assertEquals(await judge([{ type: "ib-sriov", rdmaIsolation: true }]), []);
});

Deno.test("files that do not use the plugin are none of the doctor's business", async () => {
  assertEquals(await judge([SRIOV, { type: "tuning" }]), undefined);
  for (const text of ["{", "[]", "null", '{"type":"bridge"}', '{"plugins":7}', '{"plugins":[7,null]}']) {
    assertEquals(await judgeNetworkFile("/etc/cni/net.d/a.conflist", text), undefined);
  }
});

for (
  const [what, found, text, fix] of [
    ["alone in a list", judge([RDMA]), /not chained/, /after one such as "sriov"/],
    [
      "alone in a file",
      judgeNetworkFile("/etc/cni/net.d/a.conf", '{"cniVersion":"1.0.0","name":"n","type":"rdma"}'),
      /not chained/,
      /in "plugins"/,
    ],
    [
      "behind ib-sriov",
      judge([{ type: "ib-sriov" }, RDMA]),
      /would remove the interface/,
      /^# remove "rdma" and write "rdmaIsolation": true for "ib-sriov" in .*a\.conflist$/,
    ],
    ["before sriov", judge([RDMA, SRIOV]), /before "sriov"/, /after "sriov" in .*a\.conflist/],
    [
      "before host-device, after another",
      judge([{ type: "x" }, RDMA, { type: "host-device" }]),
      /before "host-device"/,
      /./,
    ],
    ["first, before any other", judge([RDMA, { type: "macvlan" }]), /before "macvlan"/, /./],
    [
      "a list that is no .conflist",
      judge([SRIOV, RDMA], {}, "/etc/cni/net.d/a.conf"),
      /is no \.conflist/,
      /^mv \/etc\/cni\/net\.d\/a\.conf \/etc\/cni\/net\.d\/a\.conflist$/,
    ],
    [
      "a value of a wrong type",
      judge([SRIOV, { ...RDMA, allowPF: "no" }]),
      /allowPF: must be true or false, but is "no"$/,
      /^# correct/,
    ],
    ["an unknown log level", judge([SRIOV, { ...RDMA, logLevel: "loud" }]), /logLevel/, /./],
    [
      "a name that no device can have",
      judge([SRIOV, { ...RDMA, rdmaDeviceName: "{vf}" }]),
      /"\{vf\}"/,
      /^# correct/,
    ],
    ["a list without a name", judge([SRIOV, RDMA], { name: undefined }), /name: /, /./],
    [
      "a version that is not supported",
      judge([SRIOV, RDMA], { cniVersion: "9.0.0" }),
      /"9\.0\.0" is not supported/,
      /./,
    ],
    [
      "a key that is twice",
      judgeNetworkFile(
        "/etc/cni/net.d/a.conflist",
        '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"sriov"},{"type":"rdma","type":"rdma"}]}',
      ),
      /a\.conflist:1:77: the key "type" is twice/,
      /^# write an object for each plugin in/,
    ],
    ["no JSON", judgeNetworkFile("/etc/cni/net.d/a.conf", '{"type": "rdma",}'), /not JSON/, /^# correct/],
  ] as const
) {
  Deno.test(`a problem: ${what}`, async () => {
    const [first, ...more] = await found ?? [];
    assertEquals([first?.level, more.length], ["problem", 0]);
    assertMatch(first!.text, text);
    assertMatch(first!.fix!, fix);
  });
}

for (
  const [what, rdma, text, fix] of [
    ["with a near one", { deviceId: "x" }, /the key "deviceId"/, /write "deviceID" in/],
    ["below args.cni", { args: { cni: { Debug: true } } }, /"args\.cni\.Debug"/, /write "args\.cni\.debug"/],
    ["that is like no other", { mtu: 9000 }, /"mtu"/, /remove "mtu" in .*a\.conflist/],
  ] as const
) {
  Deno.test(`a warning: an unknown key ${what}`, async () => {
    const [first, ...more] = await judge([SRIOV, { ...RDMA, ...rdma }]) ?? [];
    assertEquals([first?.level, more.length], ["warning", 0]);
    assertMatch(first!.text, text);
    assertMatch(first!.fix!, fix);
  });
}
