// The kinds that people write: what is said of the configurations that operators make of them, and where.
import { judgeFiles } from "../../../../src/cli/validate/validate.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

/** What is said of a text, as lines; `@` where a verdict points to the place that «marks» in the text. */
async function judge(marked: string): Promise<string[]> {
  const offset = marked.indexOf("«");
  const text = marked.replace("«", "");
  const lines = text.slice(0, Math.max(offset, 0)).split("\n");
  const { findings: verdicts } = await judgeFiles([{ file: "a", text }]);
  return verdicts.map((verdict) => {
    const isMarked = verdict.line === lines.length && verdict.column === lines.at(-1)!.length + 1;
    const place = verdict.line === undefined ? "" : isMarked ? "@" : `${verdict.line}:${verdict.column}`;
    const fix = verdict.fix === undefined ? "" : ` -> ${verdict.fix}`;
    return `${verdict.level} ${verdict.network ?? "-"}${place}: ${verdict.text}${fix}`;
  });
}

const object = (kind: string, spec: string, metadata = "name: net") =>
  `\
apiVersion: any/v1
kind: ${kind}
metadata:
  ${metadata}
spec:
  ${spec.replaceAll("\n", "\n  ")}
`;

const sriov = (metaPlugins: string, kind = "SriovNetwork") =>
  object(kind, `resourceName: vfs\nmetaPlugins: |\n  ${metaPlugins.replaceAll("\n", "\n  ")}`);

const policy = (resourceName: string) =>
  `---\n${object("SriovNetworkNodePolicy", `resourceName: ${resourceName}`)}`;

/** OpenShift's Network with these items. */
const network = (items: string) =>
  object("Network", `additionalNetworks:\n${items}`, "name: cluster").replace(
    "any/v1",
    "operator.openshift.io/v1",
  );

for (
  const [what, text, wanted] of [
    [
      "SriovNetwork",
      sriov('{ "type": "rdma" }'),
      "sriov, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "SriovNetwork with several plugins",
      sriov('{ "type": "tuning" },\n{ "type": "rdma" },\n{ "type": "vrf" }'),
      "sriov, tuning, rdma, vrf; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "SriovNetwork with all of its keys",
      object(
        "SriovNetwork",
        `resourceName: vfs
ipam: '{ "type": "static" }'
capabilities: '{ "mac": true }'
vlan: 5
trust: "on"
spoofChk: 'off'
metaPlugins: '{ "type": "rdma", "args": { "cni": {} } }'`,
      ),
      "sriov, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "OVSNetwork",
      sriov('{ "type": "rdma" }', "OVSNetwork"),
      "ovs, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "HostDeviceNetwork",
      sriov('{ "type": "rdma" }', "HostDeviceNetwork"),
      "host-device, rdma; cniVersion 0.3.1; CHECK needs cniVersion 0.4.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "SpiderMultusConfig with rdmaIsolation",
      object("SpiderMultusConfig", "cniType: sriov\nsriov: { resourceName: a.org/vfs, rdmaIsolation: true }"),
      "sriov, rdma, coordinator; cniVersion 0.3.1; CHECK needs cniVersion 0.4.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "SpiderMultusConfig without coordinator",
      object(
        "SpiderMultusConfig",
        "cniType: sriov\nenableCoordinator: false\nsriov: { resourceName: a.org/vfs, rdmaIsolation: true }",
        'name: net\n  annotations: { multus.spidernet.io/cni-version: "1.0.0" }',
      ),
      "sriov, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "SpiderMultusConfig with a chain",
      object(
        "SpiderMultusConfig",
        `cniType: ovs\novs: { resourceName: a.org/vfs }\nchainCNIJsonData: ['{ "type": "rdma" }']`,
      ),
      "ovs, coordinator, rdma; cniVersion 0.3.1; CHECK needs cniVersion 0.4.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "SpiderMultusConfig with ib-sriov, which isolates by default",
      object("SpiderMultusConfig", "cniType: ib-sriov\nibsriov: { resourceName: a.org/vfs }"),
      "ib-sriov, coordinator; cniVersion 0.3.1; CHECK needs cniVersion 0.4.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "SpiderMultusConfig with a configuration",
      object(
        "SpiderMultusConfig",
        `cniType: custom
customCNI: '{ "cniVersion": "1.1.0", "name": "net", "plugins": [{ "type": "sriov" }, { "type": "rdma" }] }'`,
        "name: net\n  annotations: { k8s.v1.cni.cncf.io/resourceName: a.org/vfs }",
      ),
      "sriov, rdma; cniVersion 1.1.0",
    ],
    [
      "OpenShift's Network",
      network(
        '- { name: net, type: Raw, rawCNIConfig: \'{ "cniVersion": "1.1.0", "plugins": [{ "type": "host-device", ' +
          '"deviceID": "0000:3b:00.2" }, { "type": "rdma", "deviceID": "0000:3b:00.2" }] }\' }',
      ),
      "host-device, rdma; cniVersion 1.1.0",
    ],
    [
      "a network whose resource a policy offers",
      sriov('{ "type": "rdma" }') + policy("others") + policy("vfs"),
      "sriov, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "values of the types that the API server wants",
      object(
        "SpiderMultusConfig",
        `cniType: ib-sriov
enableCoordinator: false
chainCNIJsonData: null
ibsriov: { resourceName: a.org/vfs, pkey: "0x7fff", linkState: on the fly, rdmaIsolation: true }`,
      ),
      "ib-sriov; cniVersion 0.3.1; CHECK needs cniVersion 0.4.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "an object of kubectl's list",
      JSON.stringify({
        kind: "List",
        items: [{
          kind: "SriovNetwork",
          metadata: { name: "net" },
          spec: { resourceName: "vfs", metaPlugins: '{"type":"rdma"}' },
        }],
      }),
      "sriov, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0",
    ],
    [
      "a text in quotes that goes on further to the left, as kubectl takes it",
      object(
        "NetworkAttachmentDefinition",
        `config: '{
"cniVersion": "1.1.0", "name": "net", "plugins": [{ "type": "sriov" }, { "type": "rdma" }]
}'`.replaceAll("\n", "\n  "),
        "name: net\n  annotations: { k8s.v1.cni.cncf.io/resourceName: a.org/vfs }",
      ).replace("    }'", "}'"),
      "sriov, rdma; cniVersion 1.1.0",
    ],
  ] as const
) {
  Deno.test(`nothing wrong: ${what}`, async () => assertEquals(await judge(text), [`ok net: ${wanted}`]));
}

for (
  const [what, text, ...wanted] of [
    [
      "metaPluginsConfig, which the API server drops",
      object("SriovNetwork", 'resourceName: vfs\n«metaPluginsConfig: |\n  { "type": "rdma" }'),
      /^problem net@: the API server drops "spec\.metaPluginsConfig", so nothing reads it -> /,
    ],
    [
      "metaPlugins of a NetworkAttachmentDefinition",
      object("NetworkAttachmentDefinition", '«metaPlugins: x\nconfig: \'{ "type": "sriov" }\''),
      /^problem net@: the API server drops "spec\.metaPlugins"/,
    ],
    [
      "Spiderpool's former key",
      object("SpiderMultusConfig", "cniType: sriov\nsriov:\n  resourceName: a.org/vfs\n  «enableRdma: true"),
      /^problem net@: the API server drops "spec\.sriov\.enableRdma"/,
    ],
    [
      "a list in metaPlugins",
      sriov('«[{ "type": "rdma" }]'),
      /^problem net@: spec\.metaPlugins has a list where a plugin has to be: write objects with commas/,
    ],
    [
      "a comma too many in metaPlugins",
      object("SriovNetwork", `resourceName: vfs\nmetaPlugins: |\n  { "type": "rdma" },«`),
      /^problem net@: spec\.metaPlugins is not JSON: expected a value, found "\]"$/,
    ],
    [
      "broken JSON in metaPlugins",
      sriov('{ "type": "tuning" },\n{ "type": «rdma }'),
      /^problem net@: spec\.metaPlugins is not JSON: expected a value, found "rdma"$/,
    ],
    [
      "metaPlugins that are no text",
      object("SriovNetwork", "metaPlugins: «{ type: rdma }"),
      /^problem net@: .* is no string/,
    ],
    [
      "broken JSON in ipam",
      object("SriovNetwork", `ipam: '{ "type": «}'\nmetaPlugins: '{ "type": "rdma" }'`),
      /^problem net@: spec\.ipam is not JSON: /,
    ],
    [
      "a configuration of Spiderpool that is none",
      object("SpiderMultusConfig", "cniType: custom\ncustomCNI: '«null'"),
      /^problem net@: spec\.customCNI is no JSON object$/,
    ],
    [
      "a key twice in metaPlugins, of which one plugin is lost",
      sriov('{ "type": "tuning", «"type": "rdma" }'),
      /^problem net@: the key "type" is twice in one object, and only the last one counts -> /,
    ],
    [
      "a key twice in spec.config",
      object("NetworkAttachmentDefinition", 'config: |\n  {\n    "type": "sriov",\n    «"type": "vrf"\n  }'),
      /^problem net@: the key "type" is twice/,
    ],
    [
      "a key twice in a configuration",
      '{\n  "cniVersion": "1.0.0",\n  "name": "net",\n  "plugins": [{ "type": "sriov" }, { "type": "rdma", «"type": "tuning" }]\n}',
      /^problem net@: the key "type" is twice/,
    ],
    [
      "a key twice in an object",
      object("SriovNetwork", "vlan: 5\n«vlan: 6"),
      /^warning net@: the key "vlan" is twice/,
    ],
    [
      "metaPlugins in a configuration",
      '{ "name": "net", "type": "sriov", «"metaPlugins": "rdma" }',
      /^problem net@: no runtime reads "metaPlugins": it belongs in the spec of a SriovNetwork/,
    ],
    [
      "macvlan, which has no function",
      sriov('«{ "type": "rdma" }', "MacvlanNetwork").replace("  resourceName: vfs\n", ""),
      /^problem net@: it has neither a resource nor a "deviceID": "rdma" finds none by an interface of "macvlan" -> /,
    ],
    [
      "rdma behind ib-sriov",
      sriov('«{ "type": "rdma" }', "SriovIBNetwork"),
      /^problem net@: "rdma" cannot move .* "ib-sriov".* -> remove "rdma" and write a NetworkAttachmentDefinition instead, with "rdmaIsolation": true for "ib-sriov": SriovIBNetwork has no such key$/,
    ],
    [
      "ib-sriov alone, which does not isolate",
      object("SriovIBNetwork", "resourceName: vfs").replace("spec:\n  ", "spec:\n  «"),
      /^warning net@: "ib-sriov" without "rdmaIsolation": true .* -> write a NetworkAttachmentDefinition instead/,
    ],
    [
      "a partition key that is a number",
      object("SpiderMultusConfig", "cniType: ib-sriov\nibsriov:\n  resourceName: a.org/vfs\n  «pkey: 0x7fff"),
      /^problem net@: spec\.ibsriov\.pkey must be a string, but is 32767 -> put the value in quotes$/,
    ],
    [
      "on without quotes, which kubectl reads as true",
      sriov('{ "type": "rdma" }') + "  «trust: on\n",
      /^problem net@: spec\.trust must be a string, but is true, as kubectl reads it -> put the value in quotes$/,
    ],
    [
      "a number in quotes",
      sriov('{ "type": "rdma" }') + '  «vlan: "5"\n',
      /^problem net@: spec\.vlan must be an integer, but is "5" -> write a number without quotes$/,
    ],
    [
      "true in quotes",
      object("SpiderMultusConfig", 'cniType: sriov\nsriov:\n  resourceName: vfs\n  «rdmaIsolation: "true"'),
      /^problem net@: spec\.sriov\.rdmaIsolation must be true or false, but is "true"/,
    ],
    [
      "a chain that is no list",
      object("SpiderMultusConfig", 'cniType: sriov\nsriov: {}\n«chainCNIJsonData: \'{ "type": "rdma" }\''),
      /^problem net@: spec\.chainCNIJsonData must be a list, but is "/,
    ],
    [
      "a list in the place of a name",
      object("OVSNetwork", "resourceName: vfs\n«bridge: [br0]"),
      /^problem net@: spec\.bridge must be a string, but is a list/,
    ],
    [
      "a resource that no policy offers, but one with a name like it",
      policy("vfs_rdma") + "---\n" +
      sriov('{ "type": "rdma" }').replace("resourceName: vfs", "«resourceName: vfs_rmda"),
      /^warning net@: no SriovNetworkNodePolicy here offers its resource "vfs_rmda" -> write "vfs_rdma"$/,
    ],
    [
      "a resource that no policy offers",
      policy("storage") + "---\n" +
      sriov('{ "type": "rdma" }', "OVSNetwork").replace("resourceName", "«resourceName"),
      /^warning net@: no SriovNetworkNodePolicy here offers its resource "vfs" -> add a policy that does$/,
    ],
    [
      "a fault in an item of OpenShift's Network",
      network("- { name: net, type: Raw, rawCNIConfig: '{ \"type\": «rdma }' }"),
      /^problem net@: rawCNIConfig is not JSON: /,
    ],
    [
      "an item of OpenShift's Network without configuration",
      network("- «{ name: net, type: Raw }"),
      /^problem net@: rawCNIConfig is missing$/,
    ],
    [
      "an item of OpenShift's Network without type",
      network("- «{ name: net, rawCNIConfig: '{}' }"),
      /^problem net@: type must be "Raw" or "SimpleMacvlan", but is missing$/,
    ],
    [
      "an item of OpenShift's Network of an unknown type",
      network("- { name: net, «type: raw, rawCNIConfig: '{}' }"),
      /^problem net@: type must be "Raw" or "SimpleMacvlan", but is "raw"$/,
    ],
    [
      "an item of OpenShift's Network without name",
      network("- «{ type: Raw, rawCNIConfig: '{}' }"),
      /^problem \(without name\)@: an item of additionalNetworks has no name$/,
    ],
    [
      "an item of OpenShift's Network that is no object",
      network("- «null"),
      /^problem \(without name\)@: an item of additionalNetworks has no name$/,
    ],
    [
      "an item of OpenShift's Network that cannot have a resource",
      network(
        '- { name: net, type: Raw, rawCNIConfig: \'{ "plugins": [{ "type": "sriov" }, «{ "type": "rdma" }] }\' }\n' +
          "- { name: other, type: SimpleMacvlan }",
      ),
      /^problem net@: it has neither a resource .* -> write a NetworkAttachmentDefinition instead, with the annotation/,
    ],
    [
      "a network without its resource",
      object("SriovNetwork", 'metaPlugins: «\'{ "type": "rdma" }\'').replace("«'", "'«"),
      /^problem net@: it has neither a resource .* -> write "resourceName" in its spec$/,
    ],
    [
      "an unknown key, in folded lines",
      object("SriovNetwork", 'resourceName: vfs\nmetaPlugins: >-\n  { "type": "rdma",\n    «"mtu": 9000 }'),
      /^warning net@: "rdma" does not know the key "mtu" -> /,
    ],
    [
      "an unknown key, in a last line without line break",
      object("SriovNetwork", 'resourceName: vfs\nmetaPlugins: |\n  { "type": "rdma",\n    «"mtu": 9000 }')
        .trimEnd(),
      /^warning net@: .*"mtu"$/,
    ],
    [
      "an unknown key, in single quotes",
      object(
        "SriovNetwork",
        `resourceName: vfs\nmetaPlugins: '{ "type": "rdma", "a/b": "it''s", «"mtu": 9000 }'`,
      ),
      /^warning net@: .*"mtu"$/,
    ],
    [
      "an unknown key, in double quotes with escapes",
      object(
        "SriovNetwork",
        String.raw`resourceName: vfs
metaPlugins: "{ \"type\": \"rdma\",\n\t\"a/b\": \"\u00fc\", «\"mtu\": 9000 }"`,
      ),
      /^warning net@: .*"mtu"$/,
    ],
    [
      "a wrong value, in a text with tag and anchor",
      object(
        "SriovNetwork",
        'resourceName: vfs\nmetaPlugins: !!str &x |\n  { "type": "rdma",\n    «"logLevel": "loud" }',
      ),
      /^problem net@: logLevel: must be "debug", "info", "warning" or "error", but is "/,
    ],
    [
      "a wrong value in JSON within JSON",
      String.raw`{ "kind": "SriovNetwork", "metadata": { "name": "net" },
  "spec": { "resourceName": "vfs", "metaPlugins": "{ \"type\": \"rdma\", «\"logLevel\": 1 }" } }`,
      /^problem net@: logLevel: /,
    ],
    [
      "a wrong value in JSON within JSON that is a document of YAML",
      String.raw`---
{ "kind": "SriovNetwork", "metadata": { "name": "net" },
  "spec": { "resourceName": "vfs", "metaPlugins": "{ \"type\": \"rdma\", «\"logLevel\": 1 }" } }
---
kind: Pod`,
      /^problem net@: logLevel: /,
    ],
    [
      "a value that an anchor brings in, by where it is used",
      'a: &meta \'{ "type": "rdma", "mtu": 1 }\'\nkind: SriovNetwork\nmetadata: { name: net }\n' +
      "spec:\n  resourceName: vfs\n  metaPlugins: «*meta\n",
      /^warning net@: .*"mtu"$/,
    ],
    [
      "a wrong value, in a document before others",
      network('- name: net\n  type: Raw\n  rawCNIConfig: |\n    { "type": «rdma }') + "---\nkind: Pod\n",
      /^problem net@: rawCNIConfig is not JSON: /,
    ],
    [
      "a chain that an anchor brings in",
      'a: &chain [\'{ "type": "rdma", "mtu": 1 }\']\nkind: SpiderMultusConfig\nmetadata: { name: net }\n' +
      "spec:\n  cniType: sriov\n  sriov: { resourceName: vfs }\n  chainCNIJsonData: «*chain\n",
      /^warning net@: .*"mtu"/,
    ],
    [
      "a note, beside what is good",
      sriov('«{ "type": "rdma" }, { "type": "mystery" }'),
      /^ok net: sriov, rdma, mystery; /,
      /^note net@: "rdma" comes before "mystery"/,
    ],
    [
      "a template that is no YAML",
      "kind: SriovNetwork\n«{{- if .Values.rdma }}\nspec: {}\n{{- end }}\n",
      /^problem -@: it is a template that has not been rendered -> /,
    ],
    [
      "templates that are YAML, once",
      object("SriovNetwork", "resourceName: «{{ .Values.a }}\nmetaPlugins: '{{ .Values.b }}'") +
      "---\n" + object("SriovNetwork", "resourceName: '{{ .Values.a }}'"),
      /^problem -@: it is a template that has not been rendered -> /,
    ],
    [
      "a tab as indentation",
      "kind: SriovNetwork\nspec:\n«\tmetaPlugins: x\n",
      /^problem -@: it is not YAML: tab characters/,
    ],
    ["broken JSON", '{ "type": "rdma" «"x" }', /^problem -@: it is not JSON: expected "," or "\}"/],
  ] as [string, string, ...RegExp[]][]
) {
  Deno.test(`found, and where: ${what}`, async () => {
    const lines = await judge(text);
    assertEquals(lines.length, wanted.length, lines.join("\n"));
    lines.forEach((line, index) => assertMatch(line, wanted[index]!));
  });
}
