import type { Call as CniCall, Config } from "../../cni/dispatch.ts";
import type { Command } from "../../cni/environment.ts";
import { CniError, ErrorCode } from "../../cni/error.ts";
import type { RdmaLimits } from "../../kernel/kernel.ts";
import type { PluginConfig } from "../../cni/invoke.ts";
import { CNI_VERSIONS, type CniVersion, isCniVersion } from "../../cni/version.ts";
import { KEYS, type RawConfig } from "./keys.ts";
import { findFaults, formatPath, isAbsent, isObject } from "./rules.ts";
import { messageOf } from "../../sys/errno.ts";

/** A container's interface on a network: what the runtime adds and deletes. */
export interface AttachmentKey {
  readonly containerID: string;
  readonly ifname: string;
}

/** A choice of a function's RDMA devices: names on the host, or numbers counted from 1. */
export type RdmaSelection = NonNullable<RawConfig["rdmaDevices"]>;
/** RoCE QoS that devices are to have in the pod. */
export interface RdmaQos {
  /** Type of service of connections that the RDMA connection manager makes, from 0 to 255; "host": what the host has. */
  readonly tos?: number | "host";
  /** Traffic class of all that a device sends, from 0 to 255. It stays with the device when it is moved. */
  readonly trafficClass?: number;
  /** A driver without traffic class is no error. */
  readonly isTrafficClassOptional?: true;
}

/** The network configuration, as far as this plugin reads it. */
export interface NetworkConfig extends Config {
  /** The function to use: `runtimeConfig.deviceID`, else `deviceID`. */
  readonly deviceId?: string;
  /** Lets a physical function's own device be moved. */
  readonly allowPf: boolean;
  readonly rdmaDevices: RdmaSelection;
  /** Asks for a Soft-RoCE device on the pod's interface; then there is no function. */
  readonly softRoce: boolean;
  /** Lets a pod go without when the node or the function has no RDMA device. */
  readonly optional: boolean;
  readonly onSharedMode: "fail" | "skip";
  /** The names for the devices in the pod: `args.cni.rdmaDeviceName`, else `rdmaDeviceName`, else Soft-RoCE's default. */
  readonly rdmaDeviceName?: string;
  /** The answer to a name that is taken; absent means to fail. */
  readonly rdmaDeviceNameConflict?: NonNullable<RawConfig["rdmaDeviceNameConflict"]>;
  readonly rdmaQos?: RdmaQos;
  readonly rdmaLimits?: RdmaLimits;
  /** Makes ADD and CHECK fail while a device cannot be used. */
  readonly requireActive: boolean;
  /** The time that they wait for that. */
  readonly readyTimeoutMs: number;
  /** The time that ADD, DEL and GC wait for the lock. */
  readonly lockTimeoutMs: number;
  /** The device information file that the runtime asks for, below the directory of such files. */
  readonly deviceInfoFile?: string;
  /** The whole configuration of the plugin to run, if there is one. */
  readonly delegate?: PluginConfig;
  /** GC: the attachments that are still there. Absent when the runtime did not say. */
  readonly validAttachments?: readonly AttachmentKey[];
}

/** One call of this plugin. */
export type Call = CniCall<NetworkConfig>;

/**
 * Reads a network configuration.
 *
 * DEL and GC refuse a configuration only for a key that they need. A runtime stops at the first plugin that fails, so a
 * wrong key would keep the other plugins of the chain from cleaning up, and anyone who may write a pod's annotations can
 * add keys.
 *
 * @param text JSON as it came on standard input
 * @param command what the configuration is for
 * @throws {CniError} code 6 when it is no JSON object or, but for DEL and GC, nested too deeply, 1 for an unknown
 *   version, 7 for everything else, with each wrong value named by its path
 */
export async function parseConfig(text: string, command: Command = "ADD"): Promise<NetworkConfig> {
  const raw = parseObject(text);
  const config = await readConfig(raw, command);
  const hasDelegate = (raw as RawConfig).delegate?.type !== undefined; // DEL and GC ignore a wrong one
  if (!config.prevResult && !hasDelegate) return config;
  const written = asWritten(raw, text);
  return {
    ...config,
    ...(config.prevResult ? { prevResult: written.prevResult! } : {}),
    ...(hasDelegate ? { delegate: makeDelegateConfig(written, config.cniVersion) } : {}),
  };
}

/**
 * The same for a configuration that is parsed already. Keys that are ignored are deleted from it.
 *
 * @throws {CniError} as parseConfig
 */
export async function readConfig(
  raw: Record<string, unknown>,
  command: Command = "ADD",
): Promise<NetworkConfig> {
  const isCleanup = command === "DEL" || command === "GC";
  if (!isCleanup) assertNotTooDeep(raw);
  const cniVersion = parseVersion(raw["cniVersion"]);
  const faults = findFaults(raw, KEYS);
  const ignored = isCleanup ? faults.filter(({ key }) => !isNeeded(key, command, raw)) : [];
  if (ignored.length < faults.length) await assertValid(raw);
  for (const { holder, key } of ignored) delete holder[key];
  const ignoredKeys = ignored.map(({ path, key }) => formatPath([...path, key]));
  const config = raw as RawConfig;
  const deviceId = config.runtimeConfig?.deviceID || config.deviceID;
  const softRoce = config.softRoCE ?? KEYS.softRoCE.default;
  if (softRoce && !isCleanup) assertNoFunction(config);
  if (!isCleanup) assertOneTrafficClass(config);
  const rdmaDeviceName = config.args?.cni?.rdmaDeviceName || config.rdmaDeviceName ||
    (softRoce ? SOFT_ROCE_NAME : undefined);
  const { rdmaDeviceNameConflict } = config;
  const deviceInfoFile = config.runtimeConfig?.CNIDeviceInfoFile;
  const validAttachments = config["cni.dev/valid-attachments"] ?? config["cni.dev/attachments"];
  return {
    cniVersion,
    name: config.name,
    ...(deviceId ? { deviceId } : {}),
    allowPf: config.allowPF ?? KEYS.allowPF.default,
    rdmaDevices: config.rdmaDevices ?? KEYS.rdmaDevices.default,
    softRoce,
    optional: config.optional ?? KEYS.optional.default,
    onSharedMode: config.onSharedMode ?? KEYS.onSharedMode.default,
    ...(rdmaDeviceName ? { rdmaDeviceName } : {}),
    ...(rdmaDeviceNameConflict ? { rdmaDeviceNameConflict } : {}),
    ...(config.rdmaQoS ? { rdmaQos: parseQos(config.rdmaQoS) } : {}),
    ...(config.rdmaLimits ? parseLimits(config.rdmaLimits) : {}),
    requireActive: config.requireActive ?? KEYS.requireActive.default,
    readyTimeoutMs: config.readyTimeoutMs ?? KEYS.readyTimeoutMs.default,
    lockTimeoutMs: config.lockTimeoutMs ?? KEYS.lockTimeoutMs.default,
    ...(deviceInfoFile ? { deviceInfoFile } : {}),
    logLevel: config.args?.cni?.debug ? "debug" : config.logLevel ?? KEYS.logLevel.default,
    ...(config.logFile ? { logFile: config.logFile } : {}),
    ...(config.prevResult && !isCleanup ? { prevResult: config.prevResult } : {}),
    ...(validAttachments ? { validAttachments } : {}),
    ...(ignoredKeys.length > 0 ? { ignoredKeys } : {}),
  };
}

/** The name of Soft-RoCE devices in the pod unless the configuration says otherwise. */
const SOFT_ROCE_NAME = "rxe{index}";

/** Keys that are about a function's devices. A Soft-RoCE device has no traffic class, and no RDMA CM, which the ToS is for. */
function assertNoFunction({ deviceID, runtimeConfig, rdmaDevices, rdmaQoS }: RawConfig): void {
  const keys = {
    deviceID: deviceID || undefined,
    "runtimeConfig.deviceID": runtimeConfig?.deviceID || undefined,
    rdmaDevices,
    rdmaQoS,
  };
  const unfit = Object.entries(keys).filter(([, value]) => !isAbsent(value)).map(([key]) => key);
  if (unfit.length === 0) return;
  const message = "Cannot use network configuration: softRoCE makes a device on the interface, but there is ";
  throw new CniError(
    ErrorCode.invalidConfig,
    message + unfit.join(", "),
    `remove softRoCE, or ${unfit.join(" and ")}; Multus passes a deviceID where the network names a resource`,
  );
}

const FAULTS_SHOWN = 10;

/** Levels of objects and lists within each other. Past some 4,000 the stack would not do for passing prevResult on. */
const DEPTH_LIMIT = 1000;

/** The network's name is half of what tells an attachment; GC does not guess which attachments are still there. */
function isNeeded(key: string, command: Command, raw: Readonly<Record<string, unknown>>): boolean {
  const [newer, older] = ["cni.dev/valid-attachments", "cni.dev/attachments"];
  return key === "name" || command === "GC" && key === (isAbsent(raw[newer]) ? older : newer);
}

function assertNotTooDeep(raw: Record<string, unknown>): void {
  if (!isTooDeep(raw)) return;
  const msg = `Cannot read network configuration: it is nested more than ${DEPTH_LIMIT} levels deep`;
  throw new CniError(ErrorCode.undecodable, msg);
}

function isTooDeep(raw: Record<string, unknown>): boolean {
  const isHolder = (value: unknown) => typeof value === "object" && value !== null;
  let level: object[] = [raw];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth === DEPTH_LIMIT) return true;
    level = level.flatMap((holder) => Object.values(holder).filter(isHolder));
  }
  return false;
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const message = "Cannot read network configuration: not JSON";
    throw new CniError(ErrorCode.undecodable, message, messageOf(cause), { cause });
  }
  if (isObject(value)) return value;
  throw new CniError(ErrorCode.undecodable, "Cannot read network configuration: not a JSON object");
}

/**
 * A configuration of which parts go out again. Where all of the text would be written as it came, no number in it has
 * changed; in one that is nested too deeply, which only DEL and GC accept, a number may have.
 */
function asWritten(raw: Record<string, unknown>, text: string): RawConfig {
  const isSame = isTooDeep(raw) || JSON.stringify(raw) === text;
  return isSame ? raw as RawConfig : JSON.parse(text, keepNumber);
}

/** The keys that the delegate gets besides its own: those that libcni puts into each plugin of a chain (libcni/api.go). */
const CHAIN_KEYS = ["name", "prevResult", "cni.dev/valid-attachments", "cni.dev/attachments"] as const;

/**
 * The configuration that the delegate would have in a chain. A deviceID is passed on because Multus puts it into each
 * plugin of a chain (pkg/types/conf.go), and other runtimes into the one plugin that they know.
 */
function makeDelegateConfig(raw: RawConfig, cniVersion: CniVersion): PluginConfig {
  const { deviceID, runtimeConfig } = raw;
  const delegate = raw.delegate as PluginConfig;
  const capabilities = isObject(delegate["capabilities"]) ? delegate["capabilities"] : {};
  const granted = Object.entries(runtimeConfig ?? {}).filter(([name]) => capabilities[name] === true);
  return {
    ...delegate,
    cniVersion,
    ...Object.fromEntries(CHAIN_KEYS.map((key) => [key, raw[key]]).filter(([, value]) => !isAbsent(value))),
    ...(deviceID ? { deviceID } : {}),
    ...(granted.length > 0 ? { runtimeConfig: Object.fromEntries(granted) } : {}),
  };
}

function parseQos(qos: NonNullable<RawConfig["rdmaQoS"]>): RdmaQos {
  if (qos === "inherit") return { tos: "host" };
  const { tos, tc } = qos;
  const trafficClass = qos.trafficClass ?? tc;
  return {
    ...(isAbsent(tos) ? {} : { tos }),
    ...(isAbsent(trafficClass) ? {} : { trafficClass }),
    ...(isAbsent(tc) || !isAbsent(qos.trafficClass) ? {} : { isTrafficClassOptional: true }),
  };
}

function parseLimits(
  { hcaHandle, hcaObject }: NonNullable<RawConfig["rdmaLimits"]>,
): { rdmaLimits?: RdmaLimits } {
  if (isAbsent(hcaHandle)) return isAbsent(hcaObject) ? {} : { rdmaLimits: { hcaObject } };
  return { rdmaLimits: { hcaHandle, ...(isAbsent(hcaObject) ? {} : { hcaObject }) } };
}

/** Both are the traffic class, in this plugin's words and in those of NVIDIA's fork. */
function assertOneTrafficClass({ rdmaQoS }: RawConfig): void {
  if (isAbsent(rdmaQoS) || rdmaQoS === "inherit") return;
  const { trafficClass, tc } = rdmaQoS;
  if (isAbsent(trafficClass) || isAbsent(tc) || trafficClass === tc) return;
  throw new CniError(
    ErrorCode.invalidConfig,
    `Cannot use network configuration: rdmaQoS.trafficClass is ${trafficClass}, but rdmaQoS.tc, the same, is ${tc}`,
    "remove one of the two",
  );
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
  if (isAbsent(value) || value === "") return "0.1.0";
  if (typeof value === "string" && isCniVersion(value)) return value;
  throw new CniError(
    ErrorCode.incompatibleVersion,
    `Cannot use network configuration: cniVersion ${JSON.stringify(value)} is not supported`,
    `supported versions: ${CNI_VERSIONS.join(", ")}`,
  );
}

async function assertValid(raw: Record<string, unknown>): Promise<void> {
  const { explainFaults } = await import("./schema.ts");
  const faults = explainFaults(raw);
  if (faults.length === 0) return;
  const shown = faults.slice(0, FAULTS_SHOWN).map(({ text }) => text);
  throw new CniError(
    ErrorCode.invalidConfig,
    `Cannot use network configuration: ${shown.join("; ")}`,
    "correct these keys in the network configuration",
  );
}
