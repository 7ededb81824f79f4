// What is said of configurations, of attachments and of the kinds of which operators make these, and where.
import { judgeFiles } from "../../../../src/cli/validate/validate.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

/** What is said of a text, as lines; `@` where a verdict points to the place that « marks in the text. */
async function judge(marked: string, more: { isFound?: boolean } = {}): Promise<string[]> {
  const lines = marked.slice(0, Math.max(marked.indexOf("«"), 0)).split("\n");
  const { findings } = await judgeFiles([{ file: "a", text: marked.replace("«", ""), ...more }]);
  return findings.map(({ level, network = "-", line, column, text, fix }) => {
    const isMarked = line === lines.length && column === lines.at(-1)!.length + 1;
    const place = line === undefined ? "" : isMarked ? "@" : `${line}:${column}`;
    return `${level} ${network}${place}: ${text}${fix === undefined ? "" : ` -> ${fix}`}`;
  });
}

const OLD = "cniVersion 0.3.1; CHECK needs cniVersion 0.4.0; GC and STATUS need cniVersion 1.1.0";
const USUAL = "cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0";
const NEWEST = "cniVersion 1.1.0";

const RDMA = '{ "type": "rdma" }';
const SRIOV = '{ "type": "sriov" }';
const CHAIN = `"plugins": [${SRIOV}, ${RDMA}]`;
const NEWEST_CHAIN = `"cniVersion": "1.1.0", "name": "net", ${CHAIN}`;

const object = (kind: string, spec: string, metadata = "name: net") =>
  `apiVersion: any/v1\nkind: ${kind}\nmetadata:\n  ${metadata}\nspec:\n  ${spec.replaceAll("\n", "\n  ")}\n`;

const sriov = (metaPlugins: string, kind = "SriovNetwork") =>
  object(kind, `resourceName: vfs\nmetaPlugins: |\n  ${metaPlugins.replaceAll("\n", "\n  ")}`);

/** The same, but for the way in which the text is written. */
const written = (metaPlugins: string) =>
  object("SriovNetwork", `resourceName: vfs\nmetaPlugins: ${metaPlugins}`);

const inJson = (metaPlugins: string) =>
  `{ "kind": "SriovNetwork", "metadata": { "name": "net" },
  "spec": { "resourceName": "vfs", "metaPlugins": ${JSON.stringify(metaPlugins)} } }`;

const spider = (type: string, keys: string, metadata?: string) =>
  object("SpiderMultusConfig", `cniType: ${type}\n${keys}`, metadata);

const policy = (resourceName: string) =>
  `---\n${object("SriovNetworkNodePolicy", `resourceName: ${resourceName}`)}---\n`;

/** OpenShift's Network with these items. */
const network = (items: string) =>
  object("Network", `additionalNetworks:\n${items}`, "name: cluster")
    .replace("any/v1", "operator.openshift.io/v1");

/** A name, with the annotation that names a resource. */
const named = (name: string) =>
  `name: ${name}\n  annotations: { k8s.v1.cni.cncf.io/resourceName: a.org/vfs }`;

const nad = (config: string, metadata = named("net")) =>
  object("NetworkAttachmentDefinition", `config: ${config}`, metadata);

const ALONE = "enableCoordinator: false\n";
const VERSIONED = 'name: net\n  annotations: { multus.spidernet.io/cni-version: "1.0.0" }';

const GOOD: Record<string, string> = {
  [`{ "cniVersion": "1.0.0", "name": "net", ${CHAIN} }`]: `sriov, rdma; ${USUAL}`,
  [`{ "name": "net", ${CHAIN} }`]: `sriov, rdma; ${OLD.replace("0.3.1", "0.1.0")}`,
  [`{ ${NEWEST_CHAIN} }`]: `sriov, rdma; ${NEWEST}`,
  [`---\n${nad(`'{ ${NEWEST_CHAIN} }'`)}---\n{"kind": "Pod"}\n`]: `sriov, rdma; ${NEWEST}`,
  [nad(`'{ "plugins": [{ "type": "ib-sriov", "rdmaIsolation": true }], "cniVersion": "1.1.0" }'`)]:
    `ib-sriov; ${NEWEST}`,
  [nad(`'{ "cniVersion": "1.1.0", "name": "", ${CHAIN} }'`)]: `sriov, rdma; ${NEWEST}`,
  // A text in quotes that goes on further to the left, as kubectl takes it.
  [nad(`'{\n${NEWEST_CHAIN}\n}'`).replace("\n  }'", "\n}'")]: `sriov, rdma; ${NEWEST}`,
  [sriov(`{ "type": "tuning" },\n${RDMA},\n{ "type": "vrf" }`)]: `sriov, tuning, rdma, vrf; ${USUAL}`,
  [sriov(RDMA) + policy("others") + policy("vfs")]: `sriov, rdma; ${USUAL}`,
  [
    `${written(`'${RDMA}'`)}  ipam: '{ "type": "static" }'\n  capabilities: '{ "mac": true }'\n` +
    `  vlan: 5\n  trust: "on"\n  spoofChk: 'off'\n`
  ]: `sriov, rdma; ${USUAL}`,
  [`{ "kind": "List", "items": [${inJson(RDMA)}, { "kind": "Pod" }, 7] }`]: `sriov, rdma; ${USUAL}`,
  [sriov(RDMA, "OVSNetwork")]: `ovs, rdma; ${USUAL}`,
  [spider("sriov", "sriov: { resourceName: vfs, rdmaIsolation: true }")]: `sriov, rdma, coordinator; ${OLD}`,
  [spider("sriov", `${ALONE}sriov: { resourceName: vfs, rdmaIsolation: true }`, VERSIONED)]:
    `sriov, rdma; ${USUAL}`,
  [spider("ovs", `ovs: { resourceName: vfs }\nchainCNIJsonData: ['${RDMA}']`)]:
    `ovs, coordinator, rdma; ${OLD}`,
  // It isolates by default.
  [spider("ib-sriov", "ibsriov: { resourceName: vfs }")]: `ib-sriov, coordinator; ${OLD}`,
  [spider("ib-sriov", `${ALONE}chainCNIJsonData: null\nibsriov: { linkState: on the fly }`, named("net"))]:
    `ib-sriov; ${OLD}`,
  [spider("custom", `customCNI: '{ ${NEWEST_CHAIN} }'`, named("net"))]: `sriov, rdma; ${NEWEST}`,
  [
    network(
      `- { name: net, type: Raw, rawCNIConfig: '{ ${NEWEST_CHAIN} }' }`
        .replaceAll(/"type": "(sriov|rdma)"/g, '"type": "$1", "deviceID": "0000:3b:00.2"'),
    )
  ]: `sriov, rdma; ${NEWEST}`,
};

for (const [text, wanted] of Object.entries(GOOD)) {
  Deno.test(`nothing wrong: ${wanted}`, async () =>
    assertEquals(await judge(text), [`ok net: ${wanted}`], text));
}

const DROPPED = /^problem net@: the API server drops "spec\./;
const TEMPLATE = /^problem -@: it is a template that has not been rendered -> /;
const UNKNOWN = /^warning net@: "rdma" does not know the key "mtu" -> remove "mtu"$/;
const WRONG_LEVEL = /^problem net@: logLevel: must be "debug", "info", "warning" or "error", but is /;

const JSON_IN_JSON = inJson('{ "type": "rdma", «"logLevel": 1 }');

const FOUND: Record<string, RegExp | RegExp[]> = {
  '{\n  "type": "rdma",\n«}': /^problem -@: it is not JSON: expected a key in "\.\.\.", found "\}"$/,
  '{ "type": "rdma" «"x" }': /^problem -@: it is not JSON: expected "," or "\}"/,
  [`{ "plugins": [${SRIOV}, { "type": "rdma", "a.org/a": ${"[".repeat(9000)}${"]".repeat(9000)} }] }`]:
    /^problem -1:\d+: it is not JSON: it is nested more than 1000 levels deep$/,
  "kind: Pod\n  spec: {}\n": /^problem -2:7: it is not YAML: bad indentation/,
  "kind: SriovNetwork\nspec:\n«\tmetaPlugins: x\n": /^problem -@: it is not YAML: tab characters/,
  ["a: " + "[".repeat(100_000)]: /^problem -[\d:]*: it is not YAML: /,
  "«name: net\nplugins: []": /^problem net@: it is YAML; .* -> write it as JSON/,
  '{ "name": "net", «"plugins": {} }': /^problem net@: "plugins" is no list$/,
  '«{"cniVersion":"1.0.0"}': /^problem \(without name\)@: it has neither "plugins" nor "type"$/,
  [`{ "name": "net", "plugins": [${SRIOV}, ${RDMA}, «7], "cniVersion": "1.0.0" }`]:
    /^problem net@: plugins\[2\] has no "type"$/,
  [`{ "name": "net", "plugins": [${SRIOV}, «{ "type": "RDMA" }] }`]:
    /^warning net@: the plugin "RDMA" is not this one -> write "rdma"/,
  [`{ "name": "net", "plugins": [${SRIOV}, «{ "type": "rdma-cni" }] }`]: /^warning net@: .*"rdma-cni"/,
  '{ "name": "net", "type": "sriov", «"metaPlugins": "rdma" }':
    /^problem net@: no runtime reads "metaPlugins": /,
  '«{"kind":"NetworkAttachmentDefinition"}': /^problem \(without name\)@: spec\.config is missing$/,
  [nad("«[]")]: /^problem net@: spec\.config is no string/,
  [nad("'«a: b'")]: /^problem net@: spec\.config is not JSON: /,
  [nad("'«[]'")]: /^problem net@: spec\.config is no JSON object$/,
  [nad(`'${SRIOV}'\n«metaPlugins: x`)]: DROPPED,
  [object("SriovNetwork", `resourceName: vfs\n«metaPluginsConfig: |\n  ${RDMA}`)]: DROPPED,
  [spider("sriov", "sriov:\n  resourceName: vfs\n  «enableRdma: true")]: DROPPED,
  [sriov(`«[${RDMA}]`)]:
    /^problem net@: spec\.metaPlugins has a list where a plugin has to be: write objects/,
  [object("SriovNetwork", `resourceName: vfs\nmetaPlugins: |\n  ${RDMA},«`)]:
    /^problem net@: spec\.metaPlugins is not JSON: expected a value, found "\]"$/,
  [object("SriovNetwork", "metaPlugins: «{ type: rdma }")]: /^problem net@: spec\.metaPlugins is no string/,
  [object("SriovNetwork", `ipam: '{ "type": «}'`)]: /^problem net@: spec\.ipam is not JSON: /,
  [spider("custom", "customCNI: '«null'")]: /^problem net@: spec\.customCNI is no JSON object$/,
  [sriov('{ "type": "tuning", «"type": "rdma" }')]:
    /^problem net@: the key "type" is twice in one object, and only the last one counts -> write an object for each/,
  [object("SriovNetwork", "vlan: 5\n«vlan: 6")]:
    /^warning net@: the key "vlan" is twice.* -> remove one "vlan"$/,
  [sriov(`«${RDMA}`, "MacvlanNetwork").replace("  resourceName: vfs\n", "")]:
    /^problem net@: it has neither a resource nor a "deviceID": "rdma" finds none by an interface of "macvlan" -> /,
  [sriov(`«${RDMA}`, "SriovIBNetwork")]:
    /^problem net@: "rdma" cannot move .* with "rdmaIsolation": true for "ib-sriov": SriovIBNetwork has no such key$/,
  [object("SriovIBNetwork", "resourceName: vfs").replace("spec:\n  ", "spec:\n  «")]:
    /^warning net@: "ib-sriov" without "rdmaIsolation": true .* -> write a NetworkAttachmentDefinition instead/,
  [object("SriovNetwork", `metaPlugins: '«${RDMA}'`)]:
    /^problem net@: it has neither a resource .* -> write "resourceName" in its spec$/,
  [spider("ib-sriov", "ibsriov:\n  resourceName: vfs\n  «pkey: 0x7fff")]:
    /^problem net@: spec\.ibsriov\.pkey must be a string, but is 32767 -> put the value in quotes$/,
  [`${sriov(RDMA)}  «trust: on\n`]:
    /^problem net@: spec\.trust must be a string, but is true, as kubectl reads it -> put the value in quotes$/,
  [`${sriov(RDMA)}  «vlan: "5"\n`]:
    /^problem net@: spec\.vlan must be an integer, but is "5" -> write a number without quotes$/,
  [spider("sriov", 'sriov:\n  resourceName: vfs\n  «rdmaIsolation: "true"')]:
    /^problem net@: spec\.sriov\.rdmaIsolation must be true or false, but is "true"/,
  [spider("sriov", `sriov: {}\n«chainCNIJsonData: '${RDMA}'`)]:
    /^problem net@: spec\.chainCNIJsonData must be a list, but is "/,
  [policy("vfs_rdma") + sriov(RDMA).replace("resourceName: vfs", "«resourceName: vfs_rmda")]:
    /^warning net@: no SriovNetworkNodePolicy here offers its resource "vfs_rmda" -> write "vfs_rdma"$/,
  [network("- «{ name: net, type: Raw }")]: /^problem net@: rawCNIConfig is missing$/,
  [network("- { name: net, «type: raw, rawCNIConfig: '{}' }")]: /^problem net@: type must .*, but is "raw"$/,
  [network("- «{ type: Raw, rawCNIConfig: '{}' }")]:
    /^problem \(without name\)@: an item of additionalNetworks has no name$/,
  [
    network(
      `- { name: net, type: Raw, rawCNIConfig: '{ "plugins": [${SRIOV}, «${RDMA}] }' }\n` +
        "- { name: other, type: SimpleMacvlan }",
    )
  ]: /^problem net@: it has neither a resource .* -> write a NetworkAttachmentDefinition instead, with the annotation/,
  [written('>-\n  { "type": "rdma",\n    «"mtu": 9000 }')]: UNKNOWN,
  [written('|\n  { "type": "rdma",\n    «"mtu": 9000 }').trimEnd()]: UNKNOWN,
  [written(`'{ "type": "rdma", "a/b": "it''s", «"mtu": 9000 }'`)]: UNKNOWN,
  [written(String.raw`"{ \"type\": \"rdma\",\n\t\"a/b\": \"\u00fc\", «\"mtu\": 9000 }"`)]: UNKNOWN,
  [written('!!str &x |\n  { "type": "rdma",\n    «"logLevel": "loud" }')]: WRONG_LEVEL,
  [JSON_IN_JSON]: WRONG_LEVEL,
  [`a: &meta '{ "type": "rdma", "mtu": 1 }'\n${written("").trimEnd()} «*meta\n`]: UNKNOWN,
  [
    `a: &chain ['{ "type": "rdma", "mtu": 1 }']\n` +
    spider("sriov", "sriov: { resourceName: vfs }\nchainCNIJsonData: «*chain")
  ]: UNKNOWN,
  [sriov(`«${RDMA}, { "type": "mystery" }`)]: [
    /^ok net: sriov, rdma, mystery; /,
    /^note net@: "rdma" comes before "mystery"/,
  ],
  "kind: SriovNetwork\n«{{- if .Values.rdma }}\nspec: {}\n{{- end }}\n": TEMPLATE,
  [
    object("SriovNetwork", "resourceName: «{{ .Values.a }}\nmetaPlugins: '{{ .Values.b }}'") +
    "---\n" + object("SriovNetwork", "resourceName: '{{ .Values.a }}'")
  ]: TEMPLATE,
  [
    `${nad(`'{ ${NEWEST_CHAIN} }'`, named("one\n  namespace: hpc"))}---\n` +
    `kind: Pod\nspec: {}\n---\n---\n${nad(`'{ "plugins": [«${RDMA}, { "type": "macvlan" }] }'`, "name: two")}`
  ]: [
    /^ok hpc\/one: sriov, rdma; cniVersion 1\.1\.0$/,
    /^problem two@: "rdma" comes before "macvlan", whose interface it needs -> move "rdma" after "macvlan"$/,
    /^problem two@: it has neither a resource nor a "deviceID": .* -> use "sriov" or "host-device" and a resource of/,
  ],
};

for (const [text, told] of Object.entries(FOUND)) {
  const wanted = [told].flat();
  Deno.test(`found, and where: ${wanted.at(-1)!.source.slice(1)}`, async () => {
    const lines = await judge(text);
    assertEquals(lines.length, wanted.length, `${lines.join("\n")}\n${text}`);
    lines.forEach((line, index) => assertMatch(line, wanted[index]!));
  });
}

Deno.test("a file in which nothing can be checked draws a warning", async () => {
  const noNetwork = "warning -: there is no network in it -> give a file with a network";
  const noRdma = 'warning -: no network in it uses "rdma" -> give a file with a network that does';
  const others = ['{"kind":"Pod","spec":{}}', '{"kind":"List"}', '{"kind":"Secret","type":"rdma"}'];
  for (const text of ["", "# nothing\n", "text", "[1, null]", "{}", ...others]) {
    assertEquals(await judge(text), [noNetwork], text);
  }
  for (const text of [`{ "name": "net", "plugins": [${SRIOV}] }`, nad(`'${SRIOV}'`), written("")]) {
    assertEquals(await judge(text), [noRdma], text);
  }
});

/** What is said of several files, without what follows the first semicolon. */
async function judgeAll(texts: Record<string, string>): Promise<string[]> {
  const { findings } = await judgeFiles(Object.entries(texts).map(([file, text]) => ({ file, text })));
  return findings.map(({ file, level, text }) => `${level} ${file}: ${text.split(";")[0]}`);
}

Deno.test("of several files one with a network is enough, and one offers another's resource or does not", async () => {
  assertEquals(await judgeAll({ a: "kind: Pod", b: SRIOV, c: `{ ${NEWEST_CHAIN} }` }), [
    "ok a: there is no network in it",
    'ok b: no network in it uses "rdma"',
    "ok c: sriov, rdma",
  ]);
  const ib = sriov(RDMA).replace("vfs", "ib");
  assertEquals(await judgeAll({ ib, roce: sriov(RDMA), policy: policy("vfs") }), [
    'warning ib: no SriovNetworkNodePolicy here offers its resource "ib"',
    "ok roce: sriov, rdma",
    "ok policy: there is no network in it",
  ]);
});

Deno.test("a file that a directory has need not be readable if it says nothing about rdma", async () => {
  const judgeFound = async (text: string) => (await judge(text, { isFound: true })).join();
  assertMatch(await judgeFound("{{ if .Values.a }}\nkind: Deployment"), /^warning -: there is no network/);
  assertMatch(await judgeFound("«{{ if .Values.a }}\nrdma: true"), TEMPLATE);
});

Deno.test("the name in a configuration counts, and that of its attachment only where it has none", async () => {
  for (const [name, told] of [["-net", /^problem hpc\/nad.*: name: /], ["", /^ok hpc\/nad: /]] as const) {
    const config = `'{ "name": "${name}", "cniVersion": "1.1.0", ${CHAIN} }'`;
    const lines = await judge(nad(config, named("nad\n  namespace: hpc")));
    assertMatch(lines.join("\n"), told);
  }
});
