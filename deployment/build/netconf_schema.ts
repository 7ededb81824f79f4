/** Makes examples/netconf.schema.json, the JSON Schema of network configurations, for editors and other tools. */
import { fileURLToPath } from "node:url";
import * as z from "zod/mini";
import { CNI_VERSIONS } from "../../src/cni/version.ts";
import { configSchema } from "../../src/plugin/config_schema.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

export const SCHEMA_FILE = `${PROJECT}examples/netconf.schema.json`;

/** What CNI's own keys are; those of this plugin are described in the table of docs/configuration.md. */
const STANDARD: Readonly<Record<string, string>> = {
  cniVersion: "version of the CNI specification that the configuration follows",
  name: "name of the network, unique on a node",
  type: "name of the plugin's executable",
  args: "arguments for plugins, grouped by whose convention they follow",
  "args.cni": "arguments by the conventions of CNI",
  runtimeConfig: "what the runtime passes for the capabilities that the plugin declares",
  prevResult: "result of the plugin before this one; the runtime adds it",
  "cni.dev/valid-attachments": "attachments that are still there; the runtime adds them for GC",
  "cni.dev/attachments": "the same, from older runtimes",
};

/** Objects of which each key has to be described. */
const DESCRIBED = ["", "args.cni.", "runtimeConfig."];

type Node = z.core.JSONSchema.BaseSchema;

/**
 * The schema as text.
 *
 * @param reference has a table of keys, with columns "key", "default" and "meaning"
 * @throws {Error} that names a key without description
 */
export function netconfSchema(reference: string): string {
  const { $schema, required: _, ...plugin } = withoutNull(z.toJSONSchema(configSchema)) as Node;
  describe(plugin, new Map([...Object.entries(STANDARD).map(toRow), ...readRows(reference)]), "");
  const { cniVersion, name } = plugin.properties as Record<string, Node>;
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

/** Null stands for an absent key, which nobody has to write. */
function withoutNull(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNull);
  if (typeof value !== "object" || value === null) return value;
  const { anyOf, ...rest } = value as Node;
  const others = anyOf?.filter((one) => (one as Node).type !== "null");
  if (others?.length === 1) return withoutNull({ ...rest, ...others[0] as Node });
  const entries = Object.entries({ ...rest, ...(others ? { anyOf: others } : {}) });
  return Object.fromEntries(entries.map(([key, inner]) => {
    if (key !== "type" || !Array.isArray(inner)) return [key, withoutNull(inner)];
    const types = inner.filter((type) => type !== "null");
    return [key, types.length === 1 ? types[0] : types];
  }));
}

interface Row {
  readonly description: string;
  readonly default?: unknown;
}

function toRow([key, description]: [string, string]): [string, Row] {
  return [key, { description }];
}

function readRows(reference: string): [string, Row][] {
  const section = /^## Keys\n(.*?)^## /ms.exec(reference)?.[1] ?? "";
  const [header = [], , ...rows] = [...section.matchAll(/^\|(.*)\|$/gm)].map(([, row]) =>
    row!.split(/(?<!\\)\|/).map((cell) => cell.trim())
  );
  const column = (name: string) => header.indexOf(name);
  return rows.flatMap((cells) => {
    const fallback = plain(cells[column("default")]!);
    const row = {
      description: plain(cells[column("meaning")]!),
      ...(fallback === "" ? {} : { default: toValue(fallback) }),
    };
    return [...cells[column("key")]!.matchAll(/`([^`]+)`/g)].map(([, key]): [string, Row] => [key!, row]);
  });
}

/** Markdown without its marks. */
function plain(cell: string): string {
  return cell.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[`*\\]/g, "");
}

function toValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function describe({ properties = {} }: Node, rows: ReadonlyMap<string, Row>, prefix: string): void {
  for (const [key, schema] of Object.entries(properties) as [string, Node][]) {
    const row = rows.get(`${prefix}${key}`);
    if (!row && DESCRIBED.includes(prefix)) {
      throw new Error(
        `Cannot describe "${prefix}${key}": docs/configuration.md has no row for it`,
      );
    }
    Object.assign(schema, row);
    describe(schema, rows, `${prefix}${key}.`);
  }
}

if (import.meta.main) {
  Deno.writeTextFileSync(
    SCHEMA_FILE,
    netconfSchema(Deno.readTextFileSync(`${PROJECT}docs/configuration.md`)),
  );
}
