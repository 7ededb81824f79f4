import { judgeNetworkFile } from "../../../../src/cli/doctor/networks.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const LIST = "/etc/cni/net.d/a.conflist";
const SRIOV = '{"type":"sriov"}';
const list = (...plugins: string[]) => `{"cniVersion":"1.0.0","name":"n","plugins":[${plugins}]}`;

Deno.test("files that do not use the plugin are none of the doctor's business", async () => {
  const others = ["{", "[]", "null", '{"type":"bridge"}', '{"plugins":7}', '{"plugins":[7,null]}'];
  for (const text of [list(SRIOV, '{"type":"tuning"}'), ...others]) {
    assertEquals(await judgeNetworkFile(LIST, text), undefined, text);
  }
});

Deno.test("good files, which may have keys of others, draw no finding", async () => {
  for (
    const text of [
      list(SRIOV, '{"type":"rdma","example.org/own":1}'),
      list('{"type":"ib-sriov","rdmaIsolation":true}'),
    ]
  ) {
    assertEquals(await judgeNetworkFile(LIST, text), [], text);
  }
});

for (
  const [file, text, level, told, fix] of [
    [
      "a.conf",
      '{"cniVersion":"1.0.0","name":"n","type":"rdma"}',
      "problem",
      /^a\.conf:1:1: .*not chained/,
      /^# list it in "plugins",.* in a\.conf$/,
    ],
    ["a.conf", '{"type": "rdma",}', "problem", /^a\.conf:1:17: it is not JSON/, /^# correct a\.conf$/],
    [
      "a.conf",
      list(SRIOV, '{"type":"rdma"}'),
      "problem",
      /^a\.conf has .* is no \.conflist$/,
      /^mv a\.conf a\.conflist$/,
    ],
    [
      "a.conflist",
      list(SRIOV, '{"type":"rdma","type":"rdma"}'),
      "problem",
      /^a\.conflist:1:77: the key "type" is twice/,
      /^# write an object for each plugin in a\.conflist$/,
    ],
    [
      "a.conflist",
      list(SRIOV, '{"type":"rdma","deviceId":"x"}'),
      "warning",
      /:1:77: .* the key "deviceId"$/,
      /^# write "deviceID" in a\.conflist$/,
    ],
  ] as const
) {
  Deno.test(`a ${level} in ${file}: ${text}`, async () => {
    const [first, ...more] = await judgeNetworkFile(file, text) ?? [];
    assertEquals([first?.level, more.length], [level, 0]);
    assertMatch(first!.text, told);
    assertMatch(first!.fix!, fix);
  });
}
