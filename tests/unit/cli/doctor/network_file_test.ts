import { judgeNetworkFile } from "../../../../src/cli/doctor/networks.ts";
import type { Verdict } from "../../../../src/cli/report.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const SRIOV = '{"type":"sriov"}';
const list = (...plugins: string[]) => `{"cniVersion":"1.0.0","name":"n","plugins":[${plugins}]}`;

Deno.test("files that do not use the plugin are none of the doctor's business, good ones draw no finding", async () => {
  const others = ["{", "[]", "null", '{"type":"bridge"}', '{"plugins":7}', '{"plugins":[7,null]}'];
  for (const text of [list(SRIOV, '{"type":"tuning"}'), ...others]) {
    assertEquals(await judgeNetworkFile("a.conflist", text), undefined, text);
  }
  for (
    const plugins of [[SRIOV, '{"type":"rdma","a.org/b":1}'], ['{"type":"ib-sriov","rdmaIsolation":true}']]
  ) {
    assertEquals(await judgeNetworkFile("a.conflist", list(...plugins)), []);
  }
});

/** Files by what is said of them, as a pattern. */
const FOUND: Record<string, [file: string, text: string]> = {
  '^problem: a.conf:1:1: .*not chained.* -> # list it in "plugins",.* in a.conf$': [
    "a.conf",
    '{"cniVersion":"1.0.0","name":"n","type":"rdma"}',
  ],
  "^problem: a.conf:1:17: it is not JSON.* -> # correct a.conf$": ["a.conf", '{"type": "rdma",}'],
  "^problem: a.conf has .* is no .conflist -> mv a.conf a.conflist$": [
    "a.conf",
    list(SRIOV, '{"type":"rdma"}'),
  ],
  '^warning: a.conflist:1:77: .* the key "deviceId" -> # write "deviceID" in a.conflist$': [
    "a.conflist",
    list(SRIOV, '{"type":"rdma","deviceId":"x"}'),
  ],
};

for (const [told, [file, text]] of Object.entries(FOUND)) {
  Deno.test(`one finding: ${told}`, async () => {
    const [{ level, ...found }, ...more] = (await judgeNetworkFile(file, text)) as [Verdict, ...Verdict[]];
    assertEquals(more, []);
    assertMatch(`${level}: ${found.text} -> ${found.fix}`, new RegExp(told));
  });
}
