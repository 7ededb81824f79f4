import type { Netns, RdmaDevice, RdmaLimits } from "../../kernel/kernel.ts";
import type { Call } from "../config/config.ts";

/** Which attachment is meant: the runtime's key. */
export interface Attachment {
  readonly network: string;
  readonly containerID: string;
  readonly ifname: string;
}

/** What was to be changed of a device's RoCE QoS, as the host had it: a value for each port, from port 1 on. */
export interface RecordedQos {
  readonly trafficClass?: readonly number[];
  readonly tos?: readonly number[];
  /** Whether configfs had a group for the device. */
  readonly hadGroup?: boolean;
}

/** A Kubernetes pod. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
}

/** An RDMA device when it was recorded: its index (1.0 has none, nor a device to be made) and its names on the host and in the pod. */
export interface RecordedDevice {
  readonly index?: number;
  readonly hostName: string;
  readonly podName: string;
  readonly qos?: RecordedQos;
}

/** What identifies a network namespace within one boot. */
export interface RecordedNetns {
  readonly path: string;
  readonly inode: number;
  readonly cookie?: string;
}

/** The limits that the pod's cgroup has for each of the devices. */
export interface RecordedLimits extends RdmaLimits {
  /** Its path in the hierarchy. */
  readonly cgroup: string;
}

/**
 * What DEL, CHECK and GC must know of an attachment. Records of version 1.0, which the Go plugin writes, hold the
 * function and one device's names; whatever may be absent here is what they lack.
 */
export interface AttachmentRecord {
  readonly attachment?: Attachment;
  readonly deviceId: string;
  readonly devices: readonly RecordedDevice[];
  /** The device is a Soft-RoCE device that was made for the attachment. */
  readonly softRoce?: boolean;
  readonly limits?: RecordedLimits;
  /** For people and metrics, if the runtime named it. */
  readonly pod?: Pod;
  readonly netns?: RecordedNetns;
  readonly bootId?: string;
  /** When it was made by the time of that boot, in microseconds; records of earlier builds lack it. */
  readonly bootTimeUs?: number;
  /** Milliseconds since 1970, for people: the clock may have been set since. */
  readonly createdAt: number;
}

/** A record as this plugin writes it: it says of which attachment it is. */
export type OwnRecord = AttachmentRecord & { readonly attachment: Attachment };

/** The attachment that a call is about. */
export function attachmentOf({ environment, config }: Call): Attachment {
  return { network: config.name, containerID: environment.containerId, ifname: environment.ifname };
}

/** The names of Kubernetes' namespaces and pods: DNS subdomains (RFC 1123). */
const KUBERNETES_NAME = /^[a-z0-9][a-z0-9.-]{0,252}$/;

/** The pod of a call, which kubelet's runtimes name in CNI_ARGS. Names that Kubernetes would refuse are left out. */
export function podOf({ environment: { args } }: Call): Pod | undefined {
  const [namespace = "", name = ""] = [args.get("K8S_POD_NAMESPACE"), args.get("K8S_POD_NAME")];
  return [namespace, name].every((one) => KUBERNETES_NAME.test(one)) ? { namespace, name } : undefined;
}

/** Whether a record is of an attachment, as far as it says. */
export function isRecordOf({ attachment: owner }: AttachmentRecord, attachment: Attachment): boolean {
  return !owner || owner.network === attachment.network && owner.containerID === attachment.containerID &&
      owner.ifname === attachment.ifname;
}

/** A recorded device in a namespace: by its index, which it keeps on all its moves, or by name where none is recorded. */
export function getRecordedDevice(netns: Netns, { index, podName }: RecordedDevice): RdmaDevice | undefined {
  if (index !== undefined) return netns.getRdmaDevice(index);
  return netns.listRdmaDevices().find(({ name }) => name === podName);
}

/** A record that is there but cannot be used. */
export class UnreadableRecord extends Error {
  override readonly name = "UnreadableRecord";
}

/**
 * A record as text, with the four keys of version 1.0, and that of NVIDIA's fork, so that the Go plugin can delete what
 * this one added.
 */
export function formatRecord(record: AttachmentRecord): string {
  const [first] = record.devices;
  return JSON.stringify({
    version: "1.1",
    deviceID: record.deviceId,
    sandboxRdmaDevName: first?.hostName ?? "",
    containerRdmaDevName: first?.podName ?? "",
    rdmaQoS: formatForkQos(first?.qos),
    ...record.attachment,
    devices: record.devices,
    softRoCE: record.softRoce,
    limits: record.limits,
    pod: record.pod,
    netns: record.netns,
    bootID: record.bootId,
    bootTimeUs: record.bootTimeUs,
    createdAt: new Date(record.createdAt).toISOString(),
  });
}

/**
 * Reads a record of version 1.0 or any later 1.x.
 *
 * @param modifiedAt when the file was written, for records that do not say when they were made
 * @throws {UnreadableRecord} when it is not JSON, of another major version, or a key has the wrong type
 */
export function parseRecord(text: string, modifiedAt: number): AttachmentRecord {
  const raw = parseJson(text);
  const version = string(raw, "version");
  if (!/^1\.\d+$/.test(version)) {
    throw new UnreadableRecord(`version is ${JSON.stringify(version)}, want "1.x"`);
  }
  return {
    ...parseAttachment(raw),
    deviceId: string(raw, "deviceID"),
    devices: parseDevices(raw),
    ...(raw["softRoCE"] === true ? { softRoce: true } : {}),
    ...parseLimits(raw["limits"]),
    ...parsePod(raw["pod"]),
    ...parseNetns(raw["netns"]),
    ...(raw["bootID"] === undefined ? {} : { bootId: string(raw, "bootID") }),
    ...(raw["bootTimeUs"] === undefined
      ? {}
      : { bootTimeUs: integer(raw, "bootTimeUs", Number.MAX_SAFE_INTEGER) }),
    createdAt: raw["createdAt"] === undefined
      ? modifiedAt
      : Date.parse(string(raw, "createdAt")) || modifiedAt,
  };
}

/** The kernel's indexes and inodes have 32 bits; of a larger number it would be told the lower ones. */
const MAX_U32 = 0xffff_ffff;

type Raw = Readonly<Record<string, unknown>>;

function parseJson(text: string): Raw {
  try {
    return object(JSON.parse(text), "record");
  } catch (error) {
    if (error instanceof UnreadableRecord) throw error;
    throw new UnreadableRecord(text === "" ? "it is empty" : "it is not JSON", { cause: error });
  }
}

function parseAttachment(raw: Raw): { attachment?: Attachment } {
  if (raw["network"] === undefined) return {};
  return {
    attachment: {
      network: string(raw, "network"),
      containerID: string(raw, "containerID"),
      ifname: string(raw, "ifname"),
    },
  };
}

function parseDevices(raw: Raw): RecordedDevice[] {
  const devices = raw["devices"];
  if (devices === undefined) {
    const [hostName, podName] = [string(raw, "sandboxRdmaDevName"), string(raw, "containerRdmaDevName")];
    return [{ hostName, podName, ...parseForkQos(raw["rdmaQoS"]) }];
  }
  if (!Array.isArray(devices)) throw new UnreadableRecord('"devices" is not an array');
  return devices.map((entry) => {
    const device = object(entry, "devices");
    return {
      ...(device["index"] === undefined && raw["softRoCE"] === true
        ? {}
        : { index: integer(device, "index") }),
      hostName: string(device, "hostName"),
      podName: string(device, "podName"),
      ...parseQos(device["qos"]),
    };
  });
}

function parseQos(value: unknown): { qos?: RecordedQos } {
  if (value === undefined) return {};
  const { trafficClass, tos, hadGroup } = object(value, "qos");
  return {
    qos: {
      ...(trafficClass === undefined ? {} : { trafficClass: integers(trafficClass) }),
      ...(tos === undefined ? {} : { tos: integers(tos) }),
      ...(hadGroup === undefined ? {} : { hadGroup: hadGroup === true }),
    },
  };
}

function parseLimits(value: unknown): { limits?: RecordedLimits } {
  if (value === undefined) return {};
  const raw = object(value, "limits");
  const limit = (key: "hcaHandle" | "hcaObject") => {
    if (raw[key] === undefined) return {};
    return { [key]: raw[key] === "max" ? "max" : integer(raw, key) };
  };
  return { limits: { cgroup: string(raw, "cgroup"), ...limit("hcaHandle"), ...limit("hcaObject") } };
}

/**
 * What records of version 1.0 of NVIDIA's fork have besides: the host's values of port 1. They have 0 where no traffic
 * class was set.
 */
function parseForkQos(value: unknown): { qos?: RecordedQos } {
  if (value === undefined || value === null) return {};
  const raw = object(value, "rdmaQoS");
  return { qos: { trafficClass: [integer(raw, "tc", 255) || -1], tos: [integer(raw, "tos", 255)] } };
}

/** The same for the fork's DEL. It would set to 0 what is left out. */
function formatForkQos(qos: RecordedQos | undefined): { tos: number; tc: number } | undefined {
  const [tos, tc] = [qos?.tos?.[0], qos?.trafficClass?.[0]];
  return tos === undefined || tc === undefined ? undefined : { tos, tc: Math.max(tc, 0) };
}

function integers(value: unknown): number[] {
  if (Array.isArray(value) && value.every(Number.isSafeInteger)) return value;
  throw new UnreadableRecord('"qos" has values other than lists of integers');
}

function parsePod(value: unknown): { pod?: Pod } {
  if (value === undefined) return {};
  const raw = object(value, "pod");
  return { pod: { namespace: string(raw, "namespace"), name: string(raw, "name") } };
}

function parseNetns(value: unknown): { netns?: RecordedNetns } {
  if (value === undefined) return {};
  const raw = object(value, "netns");
  const cookie = raw["cookie"] === undefined ? {} : { cookie: string(raw, "cookie") };
  return { netns: { path: string(raw, "path"), inode: integer(raw, "inode"), ...cookie } };
}

function object(value: unknown, key: string): Raw {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Raw;
  throw new UnreadableRecord(`${JSON.stringify(key)} is not an object`);
}

function string(raw: Raw, key: string): string {
  const value = raw[key];
  if (typeof value === "string") return value;
  throw new UnreadableRecord(`${JSON.stringify(key)} is not a string`);
}

function integer(raw: Raw, key: string, max = MAX_U32): number {
  const value = raw[key];
  if (Number.isInteger(value) && 0 <= (value as number) && (value as number) <= max) return value as number;
  throw new UnreadableRecord(`${JSON.stringify(key)} is not an integer from 0 to ${max}`);
}
