/** The networks that a text holds. */
import { isObject } from "../../plugin/config/rules.ts";
import { problem, type Verdict, warning } from "../report.ts";
import { judgeFieldTypes } from "./field_types.ts";
import { parseJson } from "./json.ts";
import { ADDITIONAL_NETWORK, type Kind, KINDS } from "./kinds.ts";
import type { MultusFacts } from "./network.ts";
import { findRepeated, getPart, itemsIn, offsetOf, type Part, TextError } from "./part.ts";
import { parseYaml } from "./yaml.ts";

/** A network as an object of a text has it. */
export interface Source {
  /** The name that verdicts give it. */
  readonly network: string;
  /** Its configuration, or what an operator makes of it; absent when there is none to judge. */
  readonly config?: Part;
  readonly attachment?: MultusFacts;
  /** Where the resource stands that a SriovNetworkNodePolicy has to offer. */
  readonly resourceOffset?: number;
  /** Faults in the way in which it is written. */
  readonly faults: readonly PlacedVerdict[];
  /** It is a template: nothing else can be said of it. */
  readonly template?: PlacedVerdict;
}

/** A verdict on what stands at an offset of a text. */
export interface PlacedVerdict extends Verdict {
  readonly offset: number;
}

/** The documents of a text. */
export interface Documents {
  readonly format: "JSON" | "YAML";
  readonly documents: readonly Part[];
}

/**
 * Reads a text of one JSON, or of any number of YAML documents.
 *
 * @throws {TextError} that says what is wrong with it
 */
export function parseDocuments(text: string): Documents {
  // JSON is YAML, nearly; its own parser knows better what is wrong with it.
  const format = /^\s*[{[]/.test(text) && !/^---/m.test(text) ? "JSON" : "YAML";
  try {
    return { format, documents: format === "JSON" ? [parseJson(text)] : parseYaml(text) };
  } catch (cause) {
    if (!(cause instanceof TextError)) throw cause;
    throw new TextError(`it is not ${format}: ${cause.message}`, cause.offset, { cause });
  }
}

/**
 * The networks that an object is or has; none for most kinds of a cluster.
 *
 * @param text the text around the object
 */
export function readSources(object: Part, format: Documents["format"], text: string): Source[] {
  if (!isObject(object.value)) return [];
  const { apiVersion, kind, name, plugins, type, cniVersion, metadata } = object.value;
  if (kind === undefined) {
    if ((plugins ?? type ?? cniVersion) === undefined) return [];
    const network = isFilled(name) ? name : "(without name)";
    if (format === "JSON") return [{ network, ...judgeForm(object) }];
    const fix = "write it as JSON, or into a NetworkAttachmentDefinition";
    return [{ network, faults: [at(object.start, problem("it is YAML; runtimes read JSON", fix))] }];
  }
  // Kinds of this name are in several groups.
  if (kind === "Network" && isFilled(apiVersion) && apiVersion.startsWith("operator.openshift.io/")) {
    const list = getPart(object, "spec", "additionalNetworks");
    return (list ? itemsIn(list) : []).map((item) => ({
      network: nameOf(item.value),
      ...readManifest(item, ADDITIONAL_NETWORK, text),
    }));
  }
  if (typeof kind !== "string" || !Object.hasOwn(KINDS, kind)) return [];
  return [{ network: nameOf(metadata), ...readManifest(object, KINDS[kind]!, text) }];
}

function nameOf(metadata: unknown): string {
  const { name, namespace } = isObject(metadata) ? metadata : {};
  return [namespace, name].filter(isFilled).join("/") || "(without name)";
}

/** The resources that an object offers: that of a SriovNetworkNodePolicy, none of others. */
export function listOffers(object: Part): string[] {
  if (getPart(object, "kind")?.value !== "SriovNetworkNodePolicy") return [];
  const name = getPart(object, "spec", "resourceName")?.value;
  return isFilled(name) ? [name] : [];
}

function readManifest(object: Part, kind: Kind, text: string): Omit<Source, "network"> {
  const template = findTemplate(text, object.start, object.end);
  if (template) return { faults: [], template };
  const faults = [
    ...kind.dropped.filter(({ path }) => getPart(object, "spec", ...path)).map(({ path, fix }) =>
      at(
        offsetOf(object, ["spec", ...path]),
        problem(`the API server drops "${["spec", ...path].join(".")}", so nothing reads it`, fix),
      )
    ),
    ...judgeFieldTypes(object, text).map(({ path, ...verdict }) => at(offsetOf(object, path), verdict)),
    ...judgeRepeated(object),
  ];
  try {
    const { config, resource, madeFrom } = kind.render(object, text);
    const form = judgeForm(config);
    const attachment = {
      ...(resource === undefined ? {} : { resource }),
      ...(madeFrom === undefined ? {} : { madeFrom }),
    };
    return {
      attachment,
      ...form,
      ...(kind.needsPolicy ? { resourceOffset: offsetOf(object, ["spec", "resourceName"]) } : {}),
      faults: [...faults, ...form.faults],
    };
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    return { faults: [...faults, at(error.offset, problem(error.message))] };
  }
}

/** Finds the remains of a template, which make no sense to a parser, or make it read nonsense. */
export function findTemplate(text: string, start = 0, end = text.length): PlacedVerdict | undefined {
  const index = text.slice(start, end).indexOf("{{");
  if (index < 0) return undefined;
  const fix = "render it first: helm template CHART | rdma-cni validate -";
  return at(start + index, problem("it is a template that has not been rendered", fix));
}

/** Judges the form of a configuration, and keys in it that nobody reads. */
function judgeForm(config: Part): Omit<Source, "network"> {
  const { plugins, type } = config.value as Record<string, unknown>;
  const fault = plugins !== undefined && !Array.isArray(plugins)
    ? problem('"plugins" is no list')
    : plugins === undefined && !isFilled(type)
    ? problem('it has neither "plugins" nor "type"')
    : undefined;
  if (fault) return { faults: [at(offsetOf(config, ["plugins"]), fault)] };
  const holders = [config, ...getPart(config, "plugins")?.entries.map(({ part }) => part) ?? []];
  const unread = holders.flatMap(({ entries }) => entries.filter(({ key }) => key === "metaPlugins"));
  const verdict = problem(
    'no runtime reads "metaPlugins": it belongs in the spec of a SriovNetwork or a similar kind',
    'write the plugins into "plugins"',
  );
  return { config, faults: [...judgeRepeated(config), ...unread.map(({ start }) => at(start, verdict))] };
}

/** Judges keys that are there twice. A second "type" costs a plugin; of other keys the last counts, as for kubectl. */
function judgeRepeated(part: Part): PlacedVerdict[] {
  return findRepeated(part).map(({ key, start }) => {
    const text = `the key "${key}" is twice in one object, and only the last one counts`;
    const isType = key === "type";
    return at(
      start,
      isType ? problem(text, "write an object for each plugin") : warning(text, `remove one "${key}"`),
    );
  });
}

function at(offset: number, verdict: Verdict): PlacedVerdict {
  return { offset, ...verdict };
}

function isFilled(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
