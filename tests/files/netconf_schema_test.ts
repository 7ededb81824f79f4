// The JSON Schema among the examples: where it comes from, and what it says.
import { Ajv2020 } from "ajv/dist/2020.js";
import { netconfSchema, SCHEMA_FILE } from "../../deployment/build/netconf_schema.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";

const REFERENCE = Deno.readTextFileSync(`${PROJECT}docs/configuration.md`);
const text = Deno.readTextFileSync(SCHEMA_FILE);
const accepts = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false }).compile(
  JSON.parse(text),
);

Deno.test('the JSON Schema is what "deno task schema" makes of the zod schema and docs/configuration.md', () => {
  assertEquals(text, netconfSchema(REFERENCE));
});

Deno.test("a key without description is named", () => {
  const without = REFERENCE.replace(/^\| `logLevel`.*\n/m, "");
  assertThrows(() => netconfSchema(without), Error, 'Cannot describe "logLevel"');
  assertThrows(
    () => netconfSchema(REFERENCE.replace(/^\| `args\.cni\.debug`.*\n/m, "")),
    Error,
    'Cannot describe "args.cni.debug"',
  );
});

Deno.test("descriptions and defaults are those of docs/configuration.md", () => {
  const { allowPF, logLevel } = JSON.parse(text).$defs.rdma.properties;
  assertEquals([allowPF.default, logLevel.default], [true, "info"]);
  assertStringIncludes(REFERENCE, `| ${logLevel.description} `);
});

const list = (plugin: object, more: object = {}) => ({
  cniVersion: "1.0.0",
  name: "roce",
  plugins: [{ type: "sriov", logLevel: 7 }, { type: "rdma", ...plugin }],
  ...more,
});

for (
  const [what, network] of [
    ["the example", JSON.parse(Deno.readTextFileSync(`${PROJECT}examples/roce.conflist`))],
    ["a list", list({ allowPF: false, logLevel: "debug", unknown: 1 })],
    ["a plugin alone", { cniVersion: "1.0.0", name: "roce", type: "rdma", logFile: "/var/log/rdma.log" }],
    ["another plugin alone", { cniVersion: "1.0.0", name: "roce", type: "sriov", logLevel: 7 }],
  ] as const
) {
  Deno.test(`the JSON Schema accepts ${what}`, () => {
    assertEquals(accepts(network), true, JSON.stringify(accepts.errors));
  });
}

for (
  const [what, network, path] of [
    ["a value of a wrong type", list({ allowPF: "no" }), "/plugins/1/allowPF"],
    ["a value that is none of those allowed", list({ logLevel: "loud" }), "/plugins/1/logLevel"],
    ["the same in a plugin alone", { name: "roce", type: "rdma", logLevel: "loud" }, "/logLevel"],
    ["a name that is not allowed", list({}, { name: "-a" }), "/name"],
    ["a list without a name", list({}, { name: undefined }), ""],
    ["a version that is not supported", list({}, { cniVersion: "2.0.0" }), "/cniVersion"],
    ["plugins that are no list", list({}, { plugins: {} }), "/plugins"],
    ["a plugin without type", list({}, { plugins: [{}] }), "/plugins/0"],
  ] as const
) {
  Deno.test(`the JSON Schema refuses ${what}`, () => {
    assertEquals(accepts(network), false);
    assertEquals(accepts.errors!.map(({ instancePath }) => instancePath).includes(path), true);
  });
}
