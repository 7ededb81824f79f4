// What is generated from the table of the configuration's keys: that it is up to date, and what it says.
import { Ajv2020 } from "ajv/dist/2020.js";
import {
  netconfSchema,
  REFERENCE_FILE,
  SCHEMA_FILE,
  withKeyTable,
} from "../../deployment/build/netconf_schema.ts";
import { KEYS } from "../../src/plugin/config/keys.ts";
import type { Keys } from "../../src/plugin/config/rules.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";

const REFERENCE = Deno.readTextFileSync(REFERENCE_FILE);
const text = Deno.readTextFileSync(SCHEMA_FILE);
const accepts = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false }).compile(
  JSON.parse(text),
);

Deno.test('the JSON Schema and the table in docs/configuration.md are what "deno task schema" writes', () => {
  assertEquals(text, netconfSchema());
  assertEquals(REFERENCE, withKeyTable(REFERENCE));
});

Deno.test("every key that people write is described, and the plugin's own are in the table", () => {
  const visit = (keys: Keys, prefix = ""): [path: string, description: unknown, since: unknown][] =>
    Object.entries(keys).flatMap(([name, key]) => [
      [`${prefix}${name}`, key.description, key.since],
      ...key.type === "object" && name !== "prevResult" ? visit(key.keys, `${prefix}${name}.`) : [],
    ]);
  const keys = visit(KEYS);
  assertEquals(keys.filter(([, description]) => !description), []);
  assertEquals(keys.filter(([, , since]) => !since).map(([path]) => path), [
    ...["cniVersion", "name", "type", "args", "args.cni", "runtimeConfig", "prevResult"],
    ...["cni.dev/valid-attachments", "cni.dev/attachments"],
  ]);
});

Deno.test("both have descriptions and defaults; those of the JSON Schema are plain text", () => {
  const { allowPF, logLevel, rdmaQoS } = JSON.parse(text).$defs.rdma.properties;
  assertEquals([allowPF.default, logLevel.default], [true, "info"]);
  assertStringIncludes(REFERENCE, `| ${logLevel.description} `);
  const plain = "RoCE QoS of the devices in the pod: trafficClass, tos, or both; inherit keeps the host's";
  assertEquals(rdmaQoS.description, plain);
  assertStringIncludes(REFERENCE, "| [RoCE QoS](#roce-qos) of the devices");
});

const list = (plugin: object, more: object = {}) => ({
  cniVersion: "1.0.0",
  name: "roce",
  plugins: [{ type: "sriov", logLevel: 7 }, { type: "rdma", ...plugin }],
  ...more,
});

for (
  const [what, network, ...paths] of [
    ["the example", JSON.parse(Deno.readTextFileSync(`${PROJECT}examples/roce.conflist`))],
    ["a list", list({ allowPF: false, logLevel: "debug", unknown: 1 })],
    ["a plugin alone", { cniVersion: "1.0.0", name: "roce", type: "rdma", logFile: "/var/log/rdma.log" }],
    ["a value that is none of those allowed", list({ logLevel: "loud" }), "/plugins/1/logLevel"],
    ["the same in a plugin alone", { name: "roce", type: "rdma", logLevel: "loud" }, "/logLevel"],
    ["a name that is not allowed", list({}, { name: "-a" }), "/name"],
    ["a list without a name", list({}, { name: undefined }), ""],
    ["a version that is not supported", list({}, { cniVersion: "2.0.0" }), "/cniVersion"],
    ["a plugin without type", list({}, { plugins: [{}] }), "/plugins/0"],
  ] as [string, object, string?][]
) {
  Deno.test(`the JSON Schema ${paths.length === 0 ? "accepts" : "refuses"} ${what}`, () => {
    assertEquals(accepts(network), paths.length === 0, JSON.stringify(accepts.errors));
    const found = (accepts.errors ?? []).map(({ instancePath }) => instancePath);
    assertEquals(paths.filter((path) => !found.includes(path!)), []);
  });
}
