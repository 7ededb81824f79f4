import { judgeFiles } from "../../../../src/cli/validate/validate.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const RDMA = { type: "rdma" };
const SRIOV = { type: "sriov" };
const RESOURCE = { "k8s.v1.cni.cncf.io/resourceName": "mellanox.com/sriov_rdma" };

/** What is said of a text, as lines. */
async function judge(text: string): Promise<string[]> {
  return toLines((await judgeFiles([{ file: "a", text }])).findings);
}

function toLines(verdicts: Awaited<ReturnType<typeof judgeFiles>>["findings"]): string[] {
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
      ["ok roce: sriov, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0"],
    ],
    [
      "the newest version, which has all commands",
      list([SRIOV, RDMA], { cniVersion: "1.1.0" }),
      ["ok roce: sriov, rdma; cniVersion 1.1.0"],
    ],
    [
      "a list without version, which counts as the oldest",
      list([SRIOV, RDMA], { cniVersion: undefined }),
      ["ok roce: sriov, rdma; cniVersion 0.1.0; CHECK needs cniVersion 0.4.0; GC and STATUS need cniVersion 1.1.0"],
    ],
    [
      "a network in which ib-sriov takes the plugin's place",
      attachment(list([{ type: "ib-sriov", rdmaIsolation: true }])),
      ["ok nad: ib-sriov; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0"],
    ],
    [
      "several documents, of which some are networks",
      YAML,
      [
        "ok hpc/one: sriov, rdma; cniVersion 1.1.0",
        'problem two: "rdma" comes before "macvlan", whose interface it needs -> move "rdma" after "macvlan"',
        'problem two: it has neither a resource nor a "deviceID": "rdma" finds none by an interface of "macvlan" -> ' +
        'use "sriov" or "host-device" and a resource of virtual functions',
      ],
    ],
    [
      "a list of kubectl",
      `{"kind":"List","items":[${attachment(list([SRIOV, RDMA]))},{"kind":"Pod"},7]}`,
      ["ok nad: sriov, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0"],
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

const NO_NETWORK = "warning -: there is no network in it -> give a file with a network";
const NO_RDMA = 'warning -: no network in it uses "rdma" -> give a file with a network that does';

for (
  const [text, wanted] of [
    ["", NO_NETWORK],
    ["# nothing\n", NO_NETWORK],
    ["text", NO_NETWORK],
    ["[1, null]", NO_NETWORK],
    ["{}", NO_NETWORK],
    ['{"kind":"Pod","spec":{}}', NO_NETWORK],
    ['{"kind":"List"}', NO_NETWORK],
    ['{"kind":"Secret","type":"rdma"}', NO_NETWORK],
    [list([SRIOV]), NO_RDMA],
    [attachment(list([SRIOV])), NO_RDMA],
    ["kind: SriovNetwork\nspec: { resourceName: a }\n", NO_RDMA],
  ] as const
) {
  Deno.test(`a file in which nothing can be checked draws a warning: ${text}`, async () => {
    assertEquals(await judge(text), [wanted]);
  });
}

Deno.test("of several files one with a network is enough", async () => {
  const files = [
    { file: "pod.yaml", text: "kind: Pod" },
    { file: "sriov.conflist", text: list([SRIOV]) },
    { file: "roce.conflist", text: list([SRIOV, RDMA]) },
  ];
  assertEquals(
    (await judgeFiles(files)).findings.map(({ file, level, text }) => `${level} ${file}: ${text}`),
    [
      "ok pod.yaml: there is no network in it",
      'ok sriov.conflist: no network in it uses "rdma"',
      "ok roce.conflist: sriov, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0",
    ],
  );
});

Deno.test("a policy in another file offers a network's resource, or does not", async () => {
  const objectWith = (kind: string, resource: string, more = "") =>
    `kind: ${kind}\nmetadata: { name: ${resource} }\nspec:\n  resourceName: ${resource}\n${more}`;
  const networks = ["ib", "roce"].map((name) => ({
    file: name,
    text: objectWith("SriovNetwork", name, '  metaPlugins: \'{ "type": "rdma" }\'\n'),
  }));
  const policy = { file: "policy", text: objectWith("SriovNetworkNodePolicy", "roce") };
  const { findings } = await judgeFiles([...networks, policy]);
  assertEquals(findings.map(({ file, level, text }) => `${level} ${file}: ${text.split(";")[0]}`), [
    'warning ib: no SriovNetworkNodePolicy here offers its resource "ib"',
    "ok roce: sriov, rdma",
    "ok policy: there is no network in it",
  ]);
});

Deno.test("a file that a directory has need not be readable if it says nothing about rdma", async () => {
  const judgeFound = async (text: string) =>
    toLines((await judgeFiles([{ file: "a", text, isFound: true }])).findings);
  assertEquals(await judgeFound("{{ if .Values.a }}\nkind: Deployment"), [NO_NETWORK]);
  assertMatch((await judgeFound("{{ if .Values.a }}\nrdma: true"))[0]!, /^problem -: it is a template/);
});

for (
  const [what, text, pattern] of [
    [
      "broken JSON",
      '{\n  "type": "rdma",\n}',
      /^problem -: it is not JSON: expected a key in "\.\.\.", found "\}"$/,
    ],
    ["broken YAML", "kind: Pod\n  spec: {}\n", /^problem -: it is not YAML: bad indentation/],
    ["YAML indented with a tab", "metadata:\n\tname: a\n", /^problem -: it is not YAML: tab characters/],
    ["YAML nested too deep", "a: " + "[".repeat(100_000), /^problem -: it is not YAML: /],
    [
      "JSON nested too deep",
      list([SRIOV, { ...RDMA, "example.org/a": 0 }]).replace("0}", "[".repeat(9000) + "]".repeat(9000) + "}"),
      /^problem -: it is not JSON: it is nested more than 1000 levels deep$/,
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
    assertEquals(more, []);
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
