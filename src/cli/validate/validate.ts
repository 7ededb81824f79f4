import { type CniVersion, isAtLeast, SINCE } from "../../cni/version.ts";
import { messageOf } from "../../sys/errno.ts";
import { CommandError } from "../errors.ts";
import { ok, problem, type Verdict, warning } from "../report.ts";
import { findNearest, type Raw } from "./keys.ts";
import { isObject } from "../../plugin/rules.ts";
import { judgeNetwork, pluginsOf, typeOf } from "./network.ts";
import { type Documents, parseDocuments, readSource, type Source } from "./source.ts";

/** A file, read. */
export interface TextFile {
  readonly file: string;
  readonly text: string;
}

/** A verdict on a network of a text; without the name of one it is on the whole text. */
interface TextVerdict extends Verdict {
  readonly network?: string;
}

/** The same, of a file. */
export interface FileVerdict extends TextVerdict {
  readonly file: string;
}

/**
 * Judges the networks in files, configurations and NetworkAttachmentDefinitions, as far as they use this plugin.
 *
 * @throws {CommandError} when this program fails at it
 */
export async function judgeFiles(files: readonly TextFile[]): Promise<FileVerdict[]> {
  const judged = await Promise.all(
    files.map(async ({ file, text }) => ({
      file,
      verdicts: await judgeText(text).catch((error) => fail(file, error)),
    })),
  );
  const nothing = 'no network in it uses "rdma"';
  // What was given for a check and has nothing to be checked should not pass for good.
  const empty = judged.some(({ verdicts }) => verdicts.length > 0)
    ? ok(nothing)
    : warning(nothing, "give a file with a network that does");
  return judged.flatMap(({ file, verdicts }) =>
    (verdicts.length > 0 ? verdicts : [empty]).map((verdict) => ({ file, ...verdict }))
  );
}

/** What no file should bring about is no verdict on it. */
function fail(file: string, cause: unknown): never {
  const stack = cause instanceof Error ? `\n${cause.stack}` : "";
  throw new CommandError(
    `Cannot check ${JSON.stringify(file)}: ${messageOf(cause)}`,
    `This is a fault of rdma-cni: please report it.${stack}`,
    undefined,
    { cause },
  );
}

async function judgeText(text: string): Promise<TextVerdict[]> {
  let parsed: Documents;
  try {
    parsed = parseDocuments(text);
  } catch (error) {
    if (error instanceof SyntaxError) return [problem(error.message)];
    throw error;
  }
  const { format, documents } = parsed;
  const sources = documents.flatMap(itemsOf).filter(isObject).flatMap((one) => readSource(one, format) ?? []);
  const verdicts = await Promise.all(
    sources.map(async (source) =>
      (await judgeSource(source)).map((verdict) => ({ network: source.network, ...verdict }))
    ),
  );
  return verdicts.flat();
}

async function judgeSource({ config, fault, attachment }: Source): Promise<Verdict[]> {
  if (fault) return [fault];
  const verdicts = await judgeNetwork(config, attachment);
  if (!verdicts) return judgeTypes(config);
  return verdicts.length > 0 ? verdicts : [ok(describe(config))];
}

/** A network without this plugin may have been meant to have it. */
function judgeTypes(network: Raw): Verdict[] {
  return pluginsOf(network).map(typeOf).filter((type) => findNearest(type, ["rdma", "rdma-cni"])).map((
    type,
  ) => warning(`the plugin "${type}" is not this one`, 'write "rdma" if it is meant'));
}

/** `sriov, rdma; cniVersion 0.4.0, without GC, STATUS`. */
function describe(network: Raw): string {
  const version = (network["cniVersion"] || "0.1.0") as CniVersion;
  const lacking = Object.entries(SINCE).filter(([, since]) => !isAtLeast(version, since)).map(([name]) =>
    name
  );
  const without = lacking.length > 0 ? `, without ${lacking.join(", ")}` : "";
  return `${pluginsOf(network).map(typeOf).join(", ")}; cniVersion ${version}${without}`;
}

/** Of several objects kubectl makes one, of kind List. */
function itemsOf(document: unknown): readonly unknown[] {
  const { kind, items } = isObject(document) ? document : {};
  return typeof kind === "string" && kind.endsWith("List") && Array.isArray(items) ? items : [document];
}
