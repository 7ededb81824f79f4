import { CniError, ErrorCode } from "./error.ts";

/** The form of container IDs and network names (libcni's pkg/utils). */
export const IDENTIFIER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export const IDENTIFIER_RULE =
  "must start with a letter or digit and go on with letters, digits, '_', '.' and '-'";

export const COMMANDS = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"] as const;

export type Command = typeof COMMANDS[number];

/** The runtime's variables. Empty where the command does not need it and it is not set. */
export interface Environment {
  readonly command: Command;
  readonly containerId: string;
  /** Path to the pod's network namespace. */
  readonly netns: string;
  /** Name of the interface in the pod. */
  readonly ifname: string;
  /** The directories with plugins, of CNI_PATH. */
  readonly pluginDirectories: readonly string[];
  /** The pairs of CNI_ARGS. */
  readonly args: ReadonlyMap<string, string>;
  /** The plugin may be run in the pod's own namespace. */
  readonly netnsOverride: boolean;
}

interface Variable {
  readonly name: string;
  readonly requiredFor: readonly Command[];
  /** Returns the fault of a value, or undefined. */
  readonly fault?: (value: string) => string | undefined;
}

/** CNI 1.1 SPEC.md, section "Parameters"; what is required follows libcni's pkg/skel. */
const VARIABLES: readonly Variable[] = [
  { name: "CNI_CONTAINERID", requiredFor: ["ADD", "DEL", "CHECK"], fault: identifierFault },
  { name: "CNI_NETNS", requiredFor: ["ADD", "CHECK"], fault: netnsFault },
  { name: "CNI_IFNAME", requiredFor: ["ADD", "DEL", "CHECK"], fault: ifnameFault },
  { name: "CNI_PATH", requiredFor: ["ADD", "DEL", "CHECK", "GC", "STATUS"] },
];

/**
 * Reads and validates the CNI_* variables.
 *
 * @param get looks a variable up
 * @throws {CniError} code 4 for an unknown command, all missing variables at once, or a value that is not allowed
 */
export function parseEnvironment(get: (name: string) => string | undefined): Environment {
  const command = get("CNI_COMMAND") ?? "";
  if (!isCommand(command)) {
    throw invalid(`unknown CNI_COMMAND ${JSON.stringify(command)}, want one of ${COMMANDS.join(", ")}`);
  }
  const missing = VARIABLES.filter((variable) =>
    variable.requiredFor.includes(command) && !get(variable.name)
  );
  if (missing.length > 0) {
    throw invalid(`required env variables [${missing.map((variable) => variable.name).join(",")}] missing`);
  }
  for (const { name, fault } of command === "VERSION" ? [] : VARIABLES) {
    const value = get(name);
    const found = value && fault?.(value);
    if (found) throw invalid(`invalid ${name} ${JSON.stringify(value)}: ${found}`);
  }
  return {
    command,
    containerId: get("CNI_CONTAINERID") ?? "",
    netns: get("CNI_NETNS") ?? "",
    ifname: get("CNI_IFNAME") ?? "",
    pluginDirectories: (get("CNI_PATH") ?? "").split(":").filter((directory) => directory),
    args: parseArgs(get("CNI_ARGS") ?? ""),
    netnsOverride: ["TRUE", "1"].includes(get("CNI_NETNS_OVERRIDE")?.toUpperCase() ?? ""),
  };
}

/** Pairs as in `K=V;K=V`. Of several with one key the last counts, and what is not a pair is ignored. */
function parseArgs(args: string): Map<string, string> {
  const pairs = args.split(";").map((pair) => /^([^=]+)=(.*)$/s.exec(pair)).filter((match) => match !== null);
  return new Map(pairs.map(([, key, value]) => [key!, value!]));
}

function isCommand(text: string): text is Command {
  return (COMMANDS as readonly string[]).includes(text);
}

function identifierFault(text: string): string | undefined {
  return IDENTIFIER.test(text) ? undefined : IDENTIFIER_RULE;
}

function netnsFault(text: string): string | undefined {
  return text.startsWith("/") && !text.includes("\0") ? undefined : "must be an absolute path";
}

function ifnameFault(text: string): string | undefined {
  if (new TextEncoder().encode(text).length > 15) return "must not be longer than 15 bytes";
  if (text === "." || text === "..") return "must not be a directory";
  if ([...text].some((char) => "/:\0\ufffd".includes(char) || isSpace(char))) {
    return "must be UTF-8 and not contain '/', ':' or white space";
  }
  return undefined;
}

function isSpace(char: string): boolean {
  return char.trim() === "";
}

function invalid(msg: string): CniError {
  return new CniError(ErrorCode.invalidEnvironment, msg);
}

/**
 * The trace that a call belongs to, for the runtime's own log to be searched with.
 *
 * @param traceparent the variable TRACEPARENT, which libcni hands down since August 2026
 * @returns 32 hexadecimal digits, or undefined when there is none or it is malformed
 */
export function parseTraceId(traceparent: string | undefined): string | undefined {
  if (traceparent === undefined) return undefined;
  // W3C Trace Context, "traceparent header": version, trace id, parent id, flags; later versions may have more.
  const form = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;
  const [, version, traceId, more] = form.exec(traceparent) ?? [];
  return version === "00" && more !== undefined ? undefined : traceId;
}
