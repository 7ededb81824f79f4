import { problem, type Verdict } from "../verdict.ts";
import type { Documents } from "./documents.ts";
import { type Attachment, RESOURCE_ANNOTATION } from "./function.ts";
import { isObject, type Raw } from "./raw.ts";

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
  try {
    const found = parseConfigText(text);
    const config = isFilled(found["name"]) ? found : { ...found, name };
    return { network, config, fault: faultOf(config), attachment };
  } catch (error) {
    return { network, config: {}, fault: problem(`spec.config ${(error as Error).message}`) };
  }
}

function parseConfigText(text: unknown): Raw {
  if (text === undefined || text === "") throw new Error("is missing");
  if (typeof text !== "string") throw new Error("is no string: it has to be JSON, written as text");
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw new Error(`is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (isObject(config)) return config;
  throw new Error("is no JSON object");
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
