import { CniError, ErrorCode } from "./error.ts";
import { IDENTIFIER_RULE, isIdentifier } from "./identifier.ts";

export const COMMANDS = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"] as const;

export type Command = typeof COMMANDS[number];

/** What the runtime says in the environment. Empty where the command does not need it and it is not set. */
export interface Environment {
  readonly command: Command;
  readonly containerId: string;
  /** Path to the pod's network namespace. */
  readonly netns: string;
  /** Name of the interface in the pod. */
  readonly ifname: string;
  /** How the devices are to be called in the pod: `rdmaDeviceName` of CNI_ARGS. */
  readonly rdmaDeviceName?: string;
  /** The plugin may be run in the pod's own namespace. */
  readonly netnsOverride: boolean;
}

interface Variable {
  readonly name: string;
  readonly requiredFor: readonly Command[];
  /** What is wrong with a value, or undefined. */
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
  const rdmaDeviceName = getArgument(get("CNI_ARGS") ?? "", "rdmaDeviceName");
  return {
    command,
    containerId: get("CNI_CONTAINERID") ?? "",
    netns: get("CNI_NETNS") ?? "",
    ifname: get("CNI_IFNAME") ?? "",
    ...(rdmaDeviceName ? { rdmaDeviceName } : {}),
    netnsOverride: ["TRUE", "1"].includes(get("CNI_NETNS_OVERRIDE")?.toUpperCase() ?? ""),
  };
}

/** The last value of a key among `K=V;K=V`. Other keys are for other plugins, and what is no pair is passed over. */
function getArgument(args: string, key: string): string | undefined {
  return args.split(";").findLast((pair) => pair.startsWith(`${key}=`))?.slice(key.length + 1);
}

function isCommand(text: string): text is Command {
  return (COMMANDS as readonly string[]).includes(text);
}

function identifierFault(text: string): string | undefined {
  return isIdentifier(text) ? undefined : IDENTIFIER_RULE;
}

function netnsFault(text: string): string | undefined {
  return text.startsWith("/") && !text.includes("\0") ? undefined : "must be an absolute path";
}

function ifnameFault(text: string): string | undefined {
  if (new TextEncoder().encode(text).length > 15) return "must not be longer than 15 bytes";
  if (text === "." || text === "..") return "must not be a folder";
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
