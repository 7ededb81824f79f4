import { judgeFiles } from "../../../../src/cli/validate/validate.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const RDMA = { type: "rdma" };
const SRIOV = { type: "sriov" };
const RESOURCE = { "k8s.v1.cni.cncf.io/resourceName": "mellanox.com/sriov_rdma" };

/** What is said of a text, as lines. */
async function judge(text: string): Promise<string[]> {
  return toLines(await judgeFiles([{ file: "a", text }]));
}

function toLines(verdicts: Awaited<ReturnType<typeof judgeFiles>>): string[] {
  return verdicts.map(({ network, level, text, fix }) =>
    `${level} ${network ?? "-"}: ${text}${fix === undefined ? "" : ` -> ${fix}`}`
  );
}

function list(plugins: unknown, more: object = {}): string {
  return JSON.stringify({ cniVersion: "1.0.0", name: "roce", plugins, ...more });
}

function attachment(config: unknown, annotations: object = RESOURCE, metadata: object = {}): string {
  const kind = "NetworkAttachmentDefinition";
  return JSON.stringify({
    apiVersion: "k8s.cni.cncf.io/v1",
    kind,
    metadata: { name: "nad", annotations, ...metadata },
    spec: { config },
  });
}

const YAML = `\
# two networks, and a pod
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: one
  namespace: hpc
  annotations: { k8s.v1.cni.cncf.io/resourceName: mellanox.com/sriov_rdma }
spec:
  config: |
    { "cniVersion": "1.1.0", "plugins": [{ "type": "sriov" }, { "type": "rdma" }] }
---
apiVersion: v1
kind: Pod
spec: { containers: [] }
---
---
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: { name: two }
spec: { config: '{"cniVersion":"0.3.1","plugins":[{"type":"rdma"},{"type":"macvlan"}]}' }
`;

for (
  const [what, text, wanted] of [
    [
      "a list of plugins",
      list([SRIOV, RDMA]),
      ["ok roce: sriov, rdma; cniVersion 1.0.0, without GC, STATUS"],
    ],
    [
      "the newest version, which has all commands",
      list([SRIOV, RDMA], { cniVersion: "1.1.0" }),
      ["ok roce: sriov, rdma; cniVersion 1.1.0"],
    ],
    [
      "a list without version, which counts as the oldest",
      list([SRIOV, RDMA], { cniVersion: undefined }),
      ["ok roce: sriov, rdma; cniVersion 0.1.0, without CHECK, GC, STATUS"],
    ],
    [
      "a network in which ib-sriov takes the plugin's place",
      attachment(list([{ type: "ib-sriov", rdmaIsolation: true }])),
      ["ok nad: ib-sriov; cniVersion 1.0.0, without GC, STATUS"],
    ],
    [
      "several documents, of which some are networks",
      YAML,
      [
        "ok hpc/one: sriov, rdma; cniVersion 1.1.0",
        'problem two: "rdma" stands before "macvlan", whose interface it needs -> move "rdma" behind "macvlan"',
        'warning two: it has neither a resource nor a "deviceID": "rdma" looks for its function by the interface -> ' +
        'give the network the annotation "k8s.v1.cni.cncf.io/resourceName"',
      ],
    ],
    [
      "a list of kubectl",
      `{"kind":"List","items":[${attachment(list([SRIOV, RDMA]))},{"kind":"Pod"},7]}`,
      ["ok nad: sriov, rdma; cniVersion 1.0.0, without GC, STATUS"],
    ],
    [
      "an attachment whose configuration has no name: Multus gives it its own",
      attachment('{"cniVersion":"1.1.0","name":"","plugins":[{"type":"sriov"},{"type":"rdma"}]}'),
      ["ok nad: sriov, rdma; cniVersion 1.1.0"],
    ],
    [
      "JSON documents with lines between",
      `${attachment(list([SRIOV, RDMA], { cniVersion: "1.1.0" }))}\n---\n{"kind": "Pod"}\n`,
      ["ok nad: sriov, rdma; cniVersion 1.1.0"],
    ],
  ] as const
) {
  Deno.test(`verdicts on ${what}`, async () => assertEquals(await judge(text), [...wanted]));
}

const NOTHING = 'no network in it uses "rdma"';

for (
  const text of [
    "",
    "# nothing\n",
    "text",
    "[1, null]",
    "{}",
    '{"kind":"Pod","spec":{}}',
    '{"kind":"List"}',
    '{"kind":"Secret","type":"rdma"}',
    list([SRIOV]),
    attachment(list([SRIOV])),
  ]
) {
  Deno.test(`a file in which nothing can be checked draws a warning: ${text}`, async () => {
    assertEquals(await judge(text), [`warning -: ${NOTHING} -> give a file with a network that does`]);
  });
}

Deno.test("of several files one with a network is enough", async () => {
  const files = [{ file: "pod.yaml", text: "kind: Pod" }, {
    file: "roce.conflist",
    text: list([SRIOV, RDMA]),
  }];
  const verdicts = await judgeFiles(files);
  assertEquals(verdicts.map(({ file, level }) => [file, level]), [["pod.yaml", "ok"], [
    "roce.conflist",
    "ok",
  ]]);
  assertEquals(verdicts[0]!.text, NOTHING);
});

for (
  const [what, text, pattern] of [
    ["broken JSON", '{\n  "type": "rdma",\n}', /^problem -: it is not JSON: .* \(line 3 column 1\)$/],
    ["broken YAML", "kind: Pod\n  spec: {}\n", /^problem -: it is not YAML: .*at line 2, column 7/],
    ["a key that stands twice", "kind: Pod\nkind: Pod\n", /^problem -: it is not YAML: .*duplicate.*line 2/i],
    ["YAML nested too deep", "a: " + "[".repeat(100_000), /^problem -: it is not YAML: /],
    [
      "JSON nested too deep",
      list([SRIOV, { ...RDMA, "example.org/a": 0 }]).replace("0}", "[".repeat(9000) + "]".repeat(9000) + "}"),
      /^problem roce: .*nested more than 1000 levels deep$/,
    ],
    [
      "a configuration in YAML",
      "name: roce\nplugins: []",
      /^problem roce: it is YAML; .* -> write it as JSON/,
    ],
    ["plugins that are no list", list({}), /^problem roce: "plugins" is no list$/],
    [
      "neither plugins nor a type",
      '{"cniVersion":"1.0.0"}',
      /^problem \(without name\): .*neither "plugins" nor/,
    ],
    ["an attachment without configuration", attachment(undefined), /^problem nad: spec\.config is missing$/],
    ["one of no text", attachment({ plugins: [] }), /^problem nad: spec\.config is no string/],
    ["one of no JSON", attachment("a: b"), /^problem nad: spec\.config is not JSON: /],
    ["one of no object", attachment("[]"), /^problem nad: spec\.config is no JSON object$/],
    ["one of an odd list", attachment(list({})), /^problem nad: "plugins" is no list$/],
    [
      "one of nothing",
      '{"kind":"NetworkAttachmentDefinition"}',
      /^problem \(without name\): spec\.config is missing/,
    ],
    [
      "a type that is nearly this one",
      list([SRIOV, { type: "RDMA" }]),
      /^warning roce: .*"RDMA".* -> write "rdma"/,
    ],
    ["the project's name as type", list([SRIOV, { type: "rdma-cni" }]), /^warning roce: .*"rdma-cni".*/],
    ["a plugin without type", list([{}, SRIOV, RDMA]), /^problem roce: plugins\[0\] has no "type"$/],
    ["a plugin that is no object", list([SRIOV, RDMA, 7]), /^problem roce: plugins\[2\] has no "type"$/],
  ] as const
) {
  Deno.test(`one verdict: ${what}`, async () => {
    const [first, ...more] = await judge(text);
    assertEquals(more.filter((line) => !line.includes("before")), []);
    assertMatch(first!, pattern);
  });
}

Deno.test("the name in a configuration counts, and that of its attachment only where it has none", async () => {
  for (
    const [name, told] of [["-net", /name: /], ["", /^ok hpc\/nad/], [undefined, /^ok hpc\/nad/]] as const
  ) {
    const config = list([SRIOV, RDMA], { name });
    const [line] = await judge(attachment(config, RESOURCE, { namespace: "hpc" }));
    assertMatch(line!, told);
  }
});
