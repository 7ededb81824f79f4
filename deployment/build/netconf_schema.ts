/**
 * Writes what is generated from the table of the configuration's keys: docs/netconf.schema.json, the JSON Schema of
 * network configurations for editors and other tools, and the table in docs/configuration.md.
 */
import * as z from "zod/mini";
import { CNI_VERSIONS } from "../../src/cni/version.ts";
import { KEYS } from "../../src/plugin/config/keys.ts";
import { makeConfigSchema } from "../../src/plugin/config/schema.ts";
import { type Keys, objectRuleOf, type Rule } from "../../src/plugin/config/rules.ts";
import { PROJECT } from "./child.ts";
import { formatTable } from "./markdown.ts";

export const SCHEMA_FILE = `${PROJECT}docs/netconf.schema.json`;
export const REFERENCE_FILE = `${PROJECT}docs/configuration.md`;

/** The JSON Schema, as text. */
export function netconfSchema(): string {
  // Null stands for an absent key, which nobody has to write.
  const { $schema, required: _, ...plugin } = z.toJSONSchema(makeConfigSchema(z.optional), {
    override: ({ jsonSchema }) => {
      if (jsonSchema.description) jsonSchema.description = withoutMarks(jsonSchema.description);
    },
  });
  const { cniVersion, name } = plugin.properties as Record<string, object>;
  const schema = {
    $schema,
    title: "CNI network configuration with the plugin rdma",
    type: "object",
    properties: { cniVersion: { ...cniVersion, enum: CNI_VERSIONS }, name },
    required: ["name"],
    if: { required: ["plugins"] },
    then: { properties: { plugins: { type: "array", items: { $ref: "#/$defs/plugin" } } } },
    else: { $ref: "#/$defs/plugin" },
    $defs: {
      plugin: {
        type: "object",
        required: ["type"],
        if: { properties: { type: { const: "rdma" } } },
        then: { $ref: "#/$defs/rdma" },
      },
      rdma: plugin,
    },
  };
  return JSON.stringify(schema, null, 2) + "\n";
}

/** Text without Markdown's links and marks of code. */
function withoutMarks(markdown: string): string {
  return withoutLinks(markdown).replaceAll("`", "");
}

/** Markdown with the texts of its links in their places. */
export function withoutLinks(markdown: string): string {
  return markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
}

const TABLE = /(<!-- keys: written by "deno task schema" -->\n\n).*?(\n\n<!-- end of keys -->)/s;

/**
 * A document with the table of this plugin's keys between its two markers.
 *
 * @throws {Error} when it has no such markers
 */
export function withKeyTable(document: string): string {
  if (!TABLE.test(document)) {
    throw new Error("Cannot write the table of keys: the document has no place for it");
  }
  return document.replace(TABLE, (_, before, after) => `${before}${keyTable(KEYS)}${after}`);
}

function keyTable(keys: Keys): string {
  const own = describeKeys(keys).filter(({ since }) => since !== undefined);
  return formatTable([
    ["key", "type", "default", "since", "meaning"],
    ...own.map((key) => [`\`${key.name}\``, key.type, key.fallback, key.since!, key.description]),
  ]);
}

/** A key for people; the texts are Markdown. */
export interface DescribedKey {
  /** With the names of the objects that it is in: `args.cni.debug`. */
  readonly name: string;
  readonly type: string;
  /** The default, or empty. */
  readonly fallback: string;
  /** The first version of this plugin that has the key, unless CNI defines it. */
  readonly since: string | undefined;
  readonly description: string;
}

/** The keys that have a description, with those inside objects. */
export function describeKeys(keys: Keys, prefix = ""): DescribedKey[] {
  return Object.entries(keys).flatMap(([word, key]) => {
    const name = `${prefix}${word}`;
    const inner = describeKeys(objectRuleOf(key)?.keys ?? {}, `${name}.`);
    const { default: fallback, description, since } = key;
    if (description === undefined) return inner;
    const shown = fallback === undefined ? "" : `\`${fallback}\``;
    return [{ name, type: typeOf(key), fallback: shown, since, description }, ...inner];
  });
}

function typeOf(rule: Rule): string {
  switch (rule.type) {
    case "integer":
      return `${rule.min} to ${rule.max}`;
    case "enum":
      return rule.values.map((value) => `\`${value}\``).join(", ");
    case "either":
      return rule.options.map(typeOf).join(", or ");
    case "list":
      return "a list";
    default:
      return rule.type;
  }
}

if (import.meta.main) {
  Deno.writeTextFileSync(SCHEMA_FILE, netconfSchema());
  Deno.writeTextFileSync(REFERENCE_FILE, withKeyTable(Deno.readTextFileSync(REFERENCE_FILE)));
}
