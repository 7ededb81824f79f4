// @ts-types="./yaml.d.ts" -- the package brings no types of its own
import { parseAll } from "deno-std/yaml/parse.js";
import { isObject } from "../../plugin/rules.ts";
import { problem, type Verdict } from "../report.ts";
import type { Raw } from "./keys.ts";
import { type Attachment, RESOURCE_ANNOTATION } from "./network.ts";

/** A network as an object of a file has it. */
export interface Source {
  /** How verdicts call it. */
  readonly network: string;
  readonly config: Raw;
  /** Why its configuration cannot be judged. */
  readonly fault?: Verdict | undefined;
  readonly attachment?: Attachment;
}

/** The network that an object is; undefined for those that are none, as all other kinds of a cluster. */
export function readSource(object: Raw, format: Documents["format"]): Source | undefined {
  const { kind, name, plugins, type, cniVersion } = object;
  if (kind === "NetworkAttachmentDefinition") return readAttachment(object);
  if (kind !== undefined || (plugins ?? type ?? cniVersion) === undefined) return undefined;
  return {
    network: isFilled(name) ? name : "(without name)",
    config: object,
    fault: format === "YAML"
      ? problem("it is YAML; runtimes read JSON", "write it as JSON, or into a NetworkAttachmentDefinition")
      : faultOf(object),
  };
}

/** The configuration as Multus takes it from its own kind (net-attach-def-client, pkg/utils/cniconfig.go). */
function readAttachment({ metadata, spec }: Raw): Source {
  const { name, namespace, annotations } = isObject(metadata) ? metadata : {};
  const network = [namespace, name].filter(isFilled).join("/") || "(without name)";
  const attachment = { hasResource: isObject(annotations) && isFilled(annotations[RESOURCE_ANNOTATION]) };
  const { config: text } = isObject(spec) ? spec : {};
  const found = parseConfigText(text);
  if (typeof found === "string") return { network, config: {}, fault: problem(`spec.config ${found}`) };
  const config = isFilled(found["name"]) ? found : { ...found, name };
  return { network, config, fault: faultOf(config), attachment };
}

/** @returns what is wrong with a text that is not a configuration */
function parseConfigText(text: unknown): Raw | string {
  if (text === undefined || text === "") return "is missing";
  if (typeof text !== "string") return "is no string: it has to be JSON, written as text";
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    return `is not JSON: ${(error as Error).message}`;
  }
  return isObject(config) ? config : "is no JSON object";
}

function faultOf({ plugins, type }: Raw): Verdict | undefined {
  if (plugins !== undefined && !Array.isArray(plugins)) return problem('"plugins" is no list');
  return plugins === undefined && !isFilled(type)
    ? problem('it has neither "plugins" nor "type"')
    : undefined;
}

function isFilled(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

/** What a text holds. */
export interface Documents {
  readonly format: "JSON" | "YAML";
  readonly documents: readonly unknown[];
}

/**
 * Reads a text of one JSON, or of any number of YAML documents.
 *
 * @throws {SyntaxError} that says what is wrong with it, and in which line
 */
export function parseDocuments(text: string): Documents {
  // JSON is YAML, nearly; its own parser knows better what is wrong with it.
  const format = /^\s*[{[]/.test(text) && !/^---/m.test(text) ? "JSON" : "YAML";
  try {
    return { format, documents: format === "JSON" ? [JSON.parse(text)] : parseAll(text) };
  } catch (cause) {
    // A RangeError is the stack's, with YAML that is nested too deeply.
    if (!(cause instanceof SyntaxError || cause instanceof RangeError)) throw cause;
    // Below the first line the YAML parser draws where it is.
    const [reason = ""] = cause.message.split(":\n");
    throw new SyntaxError(`it is not ${format}: ${reason}`, { cause });
  }
}

/** Deno std's YAML parser. The package brings no types of its own. */
// @ts-types="./yaml.d.ts"
export { parseAll } from "deno-std/yaml/parse.js";
