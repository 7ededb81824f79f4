import type { Call as CniCall, Config } from "../cni/dispatch.ts";
import type { Result } from "../cni/result.ts";
import { type Command, IDENTIFIER } from "../cni/environment.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { CNI_VERSIONS, type CniVersion, isCniVersion } from "../cni/version.ts";
import { LOG_LEVELS } from "../log.ts";
import type { RawConfig } from "./config_schema.ts";
import { deviceInfoPathForm } from "./device_info_path.ts";
import { NAME_CONFLICTS, type NameConflict } from "./device_name.ts";
import { messageOf } from "../sys/errno.ts";

/** A container's interface on a network: what the runtime adds and deletes. */
export interface AttachmentKey {
  readonly containerID: string;
  readonly ifname: string;
}

/** Which of a function's RDMA devices are meant: names on the host, or numbers counted from 1. */
export type RdmaSelection = NonNullable<RawConfig["rdmaDevices"]>;
/** RoCE QoS that devices are to have in the pod, each from 0 to 255; at least one is there. */
export interface RdmaQos {
  /** Type of service of connections that the RDMA connection manager makes. */
  readonly tos?: number;
  /** Traffic class of all that a device sends. */
  readonly trafficClass?: number;
}

/** The network configuration, as far as this plugin reads it. */
export interface NetworkConfig extends Config {
  /** The function to use: `runtimeConfig.deviceID`, else `deviceID`. */
  readonly deviceId?: string;
  /** Whether a physical function's own device may be moved. */
  readonly allowPf: boolean;
  readonly rdmaDevices: RdmaSelection;
  /** Whether a pod may go without when the node or the function has no RDMA device. */
  readonly optional: boolean;
  readonly onSharedMode: "fail" | "skip";
  /** How the devices are to be called in the pod: `args.cni.rdmaDeviceName`, else `rdmaDeviceName`. */
  readonly rdmaDeviceName?: string;
  /** What to do when such a name is taken; absent means to fail. */
  readonly rdmaDeviceNameConflict?: NameConflict;
  readonly rdmaQos?: RdmaQos;
  /** The device information file that the runtime wants to have written, in the form of {@linkcode deviceInfoPathForm}. */
  readonly deviceInfoFile?: string;
  /** GC: the attachments that are still there. Absent when the runtime did not say. */
  readonly validAttachments?: readonly AttachmentKey[];
}

/** One call of this plugin. */
export type Call = CniCall<NetworkConfig>;

/**
 * Reads a network configuration.
 *
 * DEL and GC refuse only what they cannot do without. A runtime stops at the first plugin that fails, so a wrong key
 * would keep the other plugins of the chain from cleaning up, and anyone who may write a pod's annotations can add keys.
 *
 * @param text JSON as it came on standard input
 * @param command what the configuration is for
 * @throws {CniError} code 6 when it is no JSON object or, but for DEL and GC, nested too deeply, 1 for an unknown
 *   version, 7 for everything else, with each wrong value named by its path
 */
export async function parseConfig(text: string, command: Command = "ADD"): Promise<NetworkConfig> {
  const isCleanup = command === "DEL" || command === "GC";
  if (!isCleanup) assertNotTooDeep(text);
  const raw = parseObject(text);
  const cniVersion = parseVersion(raw["cniVersion"]);
  const faults = findFaults(raw, SHAPE);
  const ignored = isCleanup ? faults.filter(({ key }) => !isNeeded(key, command, raw)) : [];
  if (ignored.length < faults.length) await assertValid(raw);
  for (const { holder, key } of ignored) delete holder[key];
  const config = raw as RawConfig;
  const deviceId = config.runtimeConfig?.deviceID || config.deviceID;
  const rdmaDeviceName = config.args?.cni?.rdmaDeviceName || config.rdmaDeviceName;
  const { rdmaDeviceNameConflict } = config;
  const deviceInfoFile = config.runtimeConfig?.CNIDeviceInfoFile;
  const validAttachments = config["cni.dev/valid-attachments"] ?? config["cni.dev/attachments"];
  return {
    cniVersion,
    name: config.name,
    ...(deviceId ? { deviceId } : {}),
    allowPf: config.allowPF ?? true,
    rdmaDevices: config.rdmaDevices ?? "all",
    optional: config.optional ?? false,
    onSharedMode: config.onSharedMode ?? "fail",
    ...(rdmaDeviceName ? { rdmaDeviceName } : {}),
    ...(rdmaDeviceNameConflict ? { rdmaDeviceNameConflict } : {}),
    ...(config.rdmaQoS ? { rdmaQos: parseQos(config.rdmaQoS) } : {}),
    ...(deviceInfoFile ? { deviceInfoFile } : {}),
    logLevel: config.args?.cni?.debug ? "debug" : config.logLevel ?? "info",
    ...(config.logFile ? { logFile: config.logFile } : {}),
    ...(config.prevResult && !isCleanup ? { prevResult: asWritten(config.prevResult, raw, text) } : {}),
    ...(validAttachments ? { validAttachments } : {}),
    ...(ignored.length > 0
      ? { ignoredKeys: ignored.map(({ path, key }) => formatPath([...path, key])) }
      : {}),
  };
}

/**
 * Whether a configuration is certainly one that the schema accepts. It may say no to a good one, never yes to a bad
 * one; it is here because it takes a twentieth of the time that loading zod takes.
 */
export function isWellFormed(raw: Record<string, unknown>): raw is RawConfig {
  return findFaults(raw, SHAPE).length === 0;
}

const FAULTS_SHOWN = 10;

/** Levels of objects and lists within each other. Past some 4,000 the stack would not do for passing prevResult on. */
const DEPTH_LIMIT = 1000;

type Check = (value: unknown) => boolean;

const isString = (value: unknown): value is string => typeof value === "string";
const isBoolean: Check = (value) => typeof value === "boolean";
const isDeviceList: Check = (value) =>
  Array.isArray(value) && value.length > 0 &&
  value.every((one) => isString(one) ? one !== "" : Number.isSafeInteger(one) && one > 0);
const isByte = (value: unknown): value is number => {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255;
};
const isQos: Check = (value) => {
  if (!isObject(value) || !Object.values(value).some(isByte)) return false;
  return Object.entries(value).every(([key, one]) => {
    return (key === "tos" || key === "trafficClass") && optional(isByte)(one);
  });
};
const isAttachment = isObjectOf({ containerID: isString, ifname: isString });
const isInterface = isObjectOf({
  name: optional(isString),
  mac: optional(isString),
  sandbox: optional(isString),
  pciID: optional(isString),
});

/** What the values of keys must be; objects within each other may be absent. */
interface Shape {
  readonly [key: string]: Check | Shape;
}

/** Every key that the plugin reads. */
const SHAPE: Shape = {
  cniVersion: optional(isString),
  name: (value) => isString(value) && IDENTIFIER.test(value),
  type: optional(isString),
  deviceID: optional(isString),
  allowPF: optional(isBoolean),
  rdmaDevices: optional((value) => value === "all" || value === "first" || isDeviceList(value)),
  optional: optional(isBoolean),
  onSharedMode: optional((value) => value === "fail" || value === "skip"),
  rdmaQoS: optional(isQos),
  logLevel: optional((value) => (LOG_LEVELS as readonly unknown[]).includes(value)),
  logFile: optional((value) => isString(value) && (value === "" || /^\/[^\n]*$/.test(value))),
  rdmaDeviceName: optional(isString),
  rdmaDeviceNameConflict: optional((value) => (NAME_CONFLICTS as readonly unknown[]).includes(value)),
  args: { cni: { debug: optional(isBoolean), rdmaDeviceName: optional(isString) } },
  runtimeConfig: {
    deviceID: optional(isString),
    CNIDeviceInfoFile: optional((value) => isString(value) && deviceInfoPathForm().test(value)),
  },
  prevResult: { cniVersion: optional(isString), interfaces: optional(isArrayOf(isInterface)) },
  "cni.dev/valid-attachments": optional(isArrayOf(isAttachment)),
  "cni.dev/attachments": optional(isArrayOf(isAttachment)),
};

/** A value that is not what it must be: `holder[key]`. */
interface Fault {
  readonly holder: Record<string, unknown>;
  readonly key: string;
  /** The keys on the way to the holder. */
  readonly path: readonly string[];
}

function findFaults(
  holder: Record<string, unknown>,
  shape: Shape,
  path: readonly string[] = [],
  faults: Fault[] = [],
): Fault[] {
  for (const [key, wanted] of Object.entries(shape)) {
    const value = holder[key];
    if (typeof wanted !== "function" && isObject(value)) findFaults(value, wanted, [...path, key], faults);
    else if (typeof wanted === "function" ? !wanted(value) : !isAbsent(value)) {
      faults.push({ holder, key, path });
    }
  }
  return faults;
}

/** The network's name is half of what tells an attachment; GC does not guess which attachments are still there. */
function isNeeded(key: string, command: Command, raw: Readonly<Record<string, unknown>>): boolean {
  const [newer, older] = ["cni.dev/valid-attachments", "cni.dev/attachments"];
  return key === "name" || command === "GC" && key === (isAbsent(raw[newer]) ? older : newer);
}

function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

function optional(check: Check): Check {
  return (value) => isAbsent(value) || check(value);
}

function isArrayOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check);
}

function isObjectOf(checks: Readonly<Record<string, Check>>): Check {
  return (value) => isObject(value) && Object.entries(checks).every(([key, check]) => check(value[key]));
}

/** Whether a value of JSON is an object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function assertNotTooDeep(text: string): void {
  // A short text, as nearly all are, cannot open and close that many.
  if (text.length <= 2 * DEPTH_LIMIT || depthOf(text) <= DEPTH_LIMIT) return;
  const msg = `Cannot read network configuration: it is nested more than ${DEPTH_LIMIT} levels deep`;
  throw new CniError(ErrorCode.undecodable, msg);
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const reason = messageOf(cause);
    throw new CniError(ErrorCode.undecodable, `Cannot read network configuration: not JSON`, reason, {
      cause,
    });
  }
  if (isObject(value)) return value;
  throw new CniError(ErrorCode.undecodable, "Cannot read network configuration: not a JSON object");
}

function depthOf(json: string): number {
  let [depth, deepest, inString] = [0, 0, false];
  for (let i = 0; i < json.length; i++) {
    const char = json[i]!;
    if (char === '"') inString = !inString;
    else if (inString) i += Number(char === "\\");
    else if ("[{".includes(char)) deepest = Math.max(deepest, ++depth);
    else if ("]}".includes(char)) depth--;
  }
  return deepest;
}

/** What goes out again. Where all of the text would be written as it came, no number in it has changed. */
function asWritten(prevResult: Result, raw: object, text: string): Result {
  return JSON.stringify(raw) === text ? prevResult : JSON.parse(text, keepNumber).prevResult;
}

function parseQos({ tos, trafficClass }: NonNullable<RawConfig["rdmaQoS"]>): RdmaQos {
  return { ...(isByte(tos) ? { tos } : {}), ...(isByte(trafficClass) ? { trafficClass } : {}) };
}

/**
 * For JSON that goes out again: a number that JavaScript would change (a 64-bit integer, say) is kept as written.
 * To be given to JSON.parse.
 */
export function keepNumber(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || context?.source === undefined || String(value) === context.source) {
    return value;
  }
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(context.source);
}

function parseVersion(value: unknown): CniVersion {
  if (value === undefined || value === null || value === "") return "0.1.0";
  if (isString(value) && isCniVersion(value)) return value;
  throw new CniError(
    ErrorCode.incompatibleVersion,
    `Cannot use network configuration: cniVersion ${JSON.stringify(value)} is not supported`,
    `supported versions: ${CNI_VERSIONS.join(", ")}`,
  );
}

async function assertValid(raw: Record<string, unknown>): Promise<void> {
  const { configSchema } = await import("./config_schema.ts");
  const { error } = configSchema.safeParse(withFewFaults(raw));
  if (!error) return;
  const faults = error.issues.slice(0, FAULTS_SHOWN).map(({ path, message }) =>
    `${formatPath(path)}: ${message}`
  );
  throw new CniError(
    ErrorCode.invalidConfig,
    `Cannot use network configuration: ${faults.join("; ")}`,
    "correct these keys in the network configuration",
  );
}

/** zod keeps every fault of a list, of which there can be a million: after the first, those shown are enough. */
function withFewFaults(raw: Record<string, unknown>): Record<string, unknown> {
  const cut = (list: unknown, check: Check) => {
    const first = Array.isArray(list) ? list.findIndex((entry) => !check(entry)) : -1;
    return first < 0 ? list : (list as unknown[]).slice(0, first + FAULTS_SHOWN);
  };
  const { prevResult } = raw;
  return {
    ...raw,
    prevResult: isObject(prevResult)
      ? { ...prevResult, interfaces: cut(prevResult["interfaces"], isInterface) }
      : prevResult,
    "cni.dev/valid-attachments": cut(raw["cni.dev/valid-attachments"], isAttachment),
    "cni.dev/attachments": cut(raw["cni.dev/attachments"], isAttachment),
  };
}

/** `args.cni.debug`, `prevResult.interfaces[0].name`, `["cni.dev/attachments"][1].ifname`. */
export function formatPath(path: readonly PropertyKey[]): string {
  const parts = path.map((key) => {
    if (typeof key === "number") return `[${key}]`;
    const name = String(key);
    return /^\w+$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
  });
  return parts.join("").replace(/^\./, "");
}
