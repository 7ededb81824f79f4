import { type CniVersion, isAtLeast, SINCE } from "../../cni/version.ts";
import { messageOf } from "../../sys/errno.ts";
import { CommandError } from "../errors.ts";
import { ok, problem, type Verdict, warning } from "../report.ts";
import { findNearest, type Raw } from "./keys.ts";
import { judgeNetwork, type NetworkVerdict, pluginsOf, typeOf } from "./network.ts";
import { getPart, Lines, offsetOf, type Part, type Place, TextError } from "./part.ts";
import {
  type Documents,
  findTemplate,
  listOffers,
  parseDocuments,
  type PlacedVerdict,
  readSources,
  type Source,
} from "./source.ts";

/** A file, read. */
export interface TextFile {
  readonly file: string;
  readonly text: string;
  /** It was not named, but found in a directory. Then it need not be for this plugin. */
  readonly isFound?: boolean;
}

/** A verdict on what stands at a place of a text, or without one on all of it; with a name, on the network of that name. */
interface TextVerdict extends Verdict, Partial<Place> {
  readonly network?: string;
}

/** The same, of a file. */
export interface FileVerdict extends TextVerdict {
  readonly file: string;
}

/** The verdicts on files, and the number of networks in them that were judged. */
interface JudgedFiles {
  readonly findings: readonly FileVerdict[];
  readonly networks: number;
}

/**
 * Judges the networks in files as far as they use this plugin: configurations, NetworkAttachmentDefinitions, and the
 * kinds of which operators make these.
 *
 * @throws {CommandError} when this program fails at it
 */
export async function judgeFiles(files: readonly TextFile[]): Promise<JudgedFiles> {
  const parsed = await Promise.all(files.map(({ file, text }) => attempt(file, () => parse(text))));
  const offers = parsed.flatMap((one) => one instanceof TextError ? [] : one.objects.flatMap(listOffers));
  const judged = await Promise.all(
    files.map(({ file, text, isFound = false }, index) =>
      attempt(file, async () => ({ file, ...await judgeParsed(text, parsed[index]!, offers, isFound) }))
    ),
  );
  // What was given for a check and has nothing to be checked should not pass for good.
  const isNothing = judged.every(({ verdicts }) => verdicts.length === 0);
  const networks = judged.reduce((sum, one) => sum + one.networks, 0);
  const findings = judged.flatMap(({ file, verdicts, hasNetwork }) => {
    const nothing = hasNetwork ? 'no network in it uses "rdma"' : "there is no network in it";
    const fix = `give a file with a network${hasNetwork ? " that does" : ""}`;
    const empty = isNothing ? warning(nothing, fix) : ok(nothing);
    return (verdicts.length > 0 ? verdicts : [empty]).map((verdict) => ({ file, ...verdict }));
  });
  return { findings, networks };
}

/** `FILE:LINE:COLUMN`, as editors and terminals know it; without the numbers for all of a file. */
export function formatPlace({ file, line, column }: { readonly file: string } & Partial<Place>): string {
  return line === undefined ? file : `${file}:${line}:${column}`;
}

/** @throws {CommandError} for an error that no file should bring about, and that is no verdict on one */
async function attempt<T>(file: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const stack = cause instanceof Error ? `: ${cause.stack?.replace(/\n\s*/g, " ")}` : "";
    throw new CommandError(
      `Cannot check ${JSON.stringify(file)}: ${messageOf(cause)}`,
      `This is a fault of rdma-cni: please report it${stack}`,
      undefined,
      { cause },
    );
  }
}

/** The objects of a text, or the reason why it has none. */
type Parsed = { readonly format: Documents["format"]; readonly objects: readonly Part[] } | TextError;

function parse(text: string): Parsed {
  try {
    const { format, documents } = parseDocuments(text);
    return { format, objects: documents.flatMap(itemsOf) };
  } catch (error) {
    if (error instanceof TextError) return error;
    throw error;
  }
}

/** The verdicts on a text. */
interface Judged {
  readonly verdicts: readonly TextVerdict[];
  /** The text has a network, whatever plugins that uses. */
  readonly hasNetwork: boolean;
  /** The number of networks that were judged. */
  readonly networks: number;
}

/** Judges the networks in a text as far as they use this plugin; none if none does. */
export async function judgeText(text: string): Promise<Judged> {
  return await judgeParsed(text, parse(text), [], false);
}

/**
 * Does the same for a text of several.
 *
 * @param offers the resources that the policies in all of them offer
 * @param isFound as in {@linkcode TextFile}
 */
async function judgeParsed(
  text: string,
  parsed: Parsed,
  offers: readonly string[],
  isFound: boolean,
): Promise<Judged> {
  const lines = new Lines(text);
  const place = ({ offset, ...verdict }: PlacedVerdict): TextVerdict => ({ ...lines.at(offset), ...verdict });
  if (parsed instanceof TextError) {
    const { offset, message } = parsed;
    const template = findTemplate(text);
    if (!isFound || /rdma/i.test(text)) {
      return {
        verdicts: [place(template ?? { offset, ...problem(message) })],
        hasNetwork: false,
        networks: 0,
      };
    }
    const fault = { offset, ...warning(message, "repair it: a network in it would not be checked") };
    return { verdicts: template ? [] : [place(fault)], hasNetwork: false, networks: 0 };
  }
  const { format, objects } = parsed;
  const sources = objects.flatMap((object) => readSources(object, format, text));
  const template = sources.find((source) => source.template)?.template;
  if (template) return { verdicts: [place(template)], hasNetwork: true, networks: 0 };
  const judged = await Promise.all(
    sources.map(async (source) =>
      (await judgeSource(source, offers)).map((verdict) => ({
        network: source.network,
        ...("offset" in verdict ? place(verdict) : verdict),
      }))
    ),
  );
  const networks = judged.filter((verdicts) => verdicts.length > 0).length;
  return { verdicts: judged.flat(), hasNetwork: sources.length > 0, networks };
}

async function judgeSource(source: Source, offers: readonly string[]): Promise<(Verdict | PlacedVerdict)[]> {
  const { config, faults, attachment } = source;
  if (!config) return [...faults];
  const network = config.value as Raw;
  const verdicts = await judgeNetwork(network, attachment);
  const placed = (verdicts ?? judgeTypes(network)).map(({ path, ...verdict }) => ({
    ...verdict,
    offset: offsetOf(config, path),
  }));
  const unoffered = verdicts ? judgeResource(source, offers) : [];
  const all = [...faults, ...placed, ...unoffered].sort((a, b) => a.offset - b.offset);
  return verdicts && all.every(({ level }) => level === "note") ? [ok(describe(network)), ...all] : all;
}

/** Policies may be elsewhere, unless some are given. */
function judgeResource(
  { attachment, resourceOffset: offset }: Source,
  offers: readonly string[],
): PlacedVerdict[] {
  const resource = attachment?.resource;
  if (offset === undefined || resource === undefined || offers.length === 0 || offers.includes(resource)) {
    return [];
  }
  const nearest = findNearest(resource, offers);
  const fix = nearest === undefined ? "add a policy that does" : `write "${nearest}"`;
  return [{ offset, ...warning(`no SriovNetworkNodePolicy here offers its resource "${resource}"`, fix) }];
}

/** A network without this plugin may have been meant to have it. */
function judgeTypes(network: Raw): NetworkVerdict[] {
  return pluginsOf(network).flatMap(({ path, plugin }) => {
    const type = typeOf(plugin);
    if (!findNearest(type, ["rdma", "rdma-cni"])) return [];
    return [{ path, ...warning(`the plugin "${type}" is not this one`, 'write "rdma" if it is meant') }];
  });
}

/** `sriov, rdma; cniVersion 1.0.0; GC and STATUS need cniVersion 1.1.0`. */
function describe(network: Raw): string {
  const version = (network["cniVersion"] || "0.1.0") as CniVersion;
  const types = pluginsOf(network).map(({ plugin }) => typeOf(plugin));
  const lacking = Object.entries(SINCE).filter(([, since]) => !isAtLeast(version, since));
  const needs = Map.groupBy(lacking, ([, since]) => since).entries().map(([since, commands]) =>
    `${commands.map(([name]) => name).join(" and ")} ${
      commands.length > 1 ? "need" : "needs"
    } cniVersion ${since}`
  );
  return [types.join(", "), `cniVersion ${version}`, ...needs].join("; ");
}

/** Of several objects kubectl makes one, of kind List. */
function itemsOf(document: Part): readonly Part[] {
  const kind = getPart(document, "kind")?.value;
  const items = getPart(document, "items");
  return typeof kind === "string" && kind.endsWith("List") && Array.isArray(items?.value)
    ? items.entries.map(({ part }) => part)
    : [document];
}
