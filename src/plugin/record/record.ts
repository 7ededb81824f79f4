import type { Netns, RdmaDevice } from "../../kernel/kernel.ts";
import type { Call } from "../config/config.ts";
import { isObject, type ObjectOf, readObject, ValueError } from "../config/rules.ts";

/** The kernel's indexes and inodes have 32 bits; of a larger number it would be told the lower ones. */
const U32 = { type: "integer", min: 0, max: 0xffff_ffff } as const;
const REQUIRED_U32 = { ...U32, required: true } as const;
const BYTE = { type: "integer", min: 0, max: 255, required: true } as const;
const STRING = { type: "string" } as const;
const REQUIRED = { type: "string", required: true } as const;
const LIMIT = {
  type: "either",
  options: [U32, { type: "enum", values: ["max"] }],
  text: 'is neither an integer nor "max"',
} as const;

const ATTACHMENT = { network: REQUIRED, containerID: REQUIRED, ifname: REQUIRED } as const;
/** The runtime's key of an attachment. */
export type Attachment = ObjectOf<typeof ATTACHMENT, never>;

/** A value for each port, from port 1 on; -1 is a traffic class that is not set. */
const PORTS = { type: "list", items: { ...U32, min: -1 } } as const;
/** Besides the values, whether configfs had a group for the device. */
const QOS = { trafficClass: PORTS, tos: PORTS, hadGroup: { type: "boolean" } } as const;
/** The values that the host had of a device's RoCE QoS, as far as they were to be changed. */
export type RecordedQos = ObjectOf<typeof QOS, never>;

const DEVICE = {
  index: U32,
  hostName: REQUIRED,
  podName: REQUIRED,
  qos: { type: "object", keys: QOS },
} as const;
/** An RDMA device when it was recorded: its index (1.0 has none, nor a device to be made) and its names on the host and in the pod. */
export type RecordedDevice = ObjectOf<typeof DEVICE, never>;

const NETNS = { path: REQUIRED, inode: REQUIRED_U32, cookie: STRING } as const;
/** The identity of a network namespace within one boot. */
export type RecordedNetns = ObjectOf<typeof NETNS, never>;

const LIMITS = { cgroup: REQUIRED, hcaHandle: LIMIT, hcaObject: LIMIT } as const;
/** The limits for each of the devices, and the path of the pod's cgroup, which has them. */
export type RecordedLimits = ObjectOf<typeof LIMITS, never>;

const POD = { namespace: REQUIRED, name: REQUIRED } as const;
/** A Kubernetes pod. */
export type Pod = ObjectOf<typeof POD, never>;

/**
 * An attachment as far as DEL, CHECK and GC must know it. Records of version 1.0, which the Go plugin writes, hold the
 * function and one device's names; whatever may be absent here is what they lack.
 */
export interface AttachmentRecord {
  readonly attachment?: Attachment;
  readonly deviceId: string;
  readonly devices: readonly RecordedDevice[];
  /** The device is a Soft-RoCE device that was made for the attachment. */
  readonly softRoce?: boolean;
  readonly limits?: RecordedLimits;
  /** The pod, for people and metrics; absent when the runtime did not say. */
  readonly pod?: Pod;
  readonly netns?: RecordedNetns;
  readonly bootId?: string;
  /** The time of that boot when it was made, in microseconds; records of earlier builds lack it. */
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

/** Returns whether a record is of an attachment, as far as it says. */
export function isRecordOf({ attachment: owner }: AttachmentRecord, attachment: Attachment): boolean {
  return !owner || owner.network === attachment.network && owner.containerID === attachment.containerID &&
      owner.ifname === attachment.ifname;
}

/** A recorded device in a namespace: by its index, which it keeps on all its moves, or by name where none is recorded. */
export function getRecordedDevice(netns: Netns, { index, podName }: RecordedDevice): RdmaDevice | undefined {
  if (index !== undefined) return netns.getRdmaDevice(index);
  return netns.listRdmaDevices().find(({ name }) => name === podName);
}

/** A record as text, with the keys of version 1.0 and of NVIDIA's fork, so that the Go plugin can do the DEL. */
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

/** The keys of every record, but for its attachment, which 1.0 does not have, and its devices. */
const KEYS = {
  deviceID: REQUIRED,
  softRoCE: { type: "boolean" },
  limits: { type: "object", keys: LIMITS },
  pod: { type: "object", keys: POD },
  netns: { type: "object", keys: NETNS },
  bootID: STRING,
  bootTimeUs: { type: "integer", min: 0, max: Number.MAX_SAFE_INTEGER },
  createdAt: STRING,
} as const;

/** The device of version 1.0, and what records of NVIDIA's fork have besides: the host's values of port 1. */
const GO_DEVICE = {
  sandboxRdmaDevName: REQUIRED,
  containerRdmaDevName: REQUIRED,
  rdmaQoS: { type: "object", keys: { tos: BYTE, tc: BYTE } },
} as const;

/**
 * Reads a record of version 1.0 or any later 1.x.
 *
 * @param modifiedAt when the file was written, for records that do not say when they were made
 * @throws {ValueError} when it is not JSON, of another major version, or a key has the wrong type
 */
export function parseRecord(text: string, modifiedAt: number): AttachmentRecord {
  const raw = parseRaw(text);
  const { version } = raw;
  if (typeof version !== "string" || !/^1\.\d+$/.test(version)) {
    throw new ValueError(`version is ${JSON.stringify(version)}, want "1.x"`);
  }
  const { deviceID: deviceId, softRoCE, bootID, createdAt, ...others } = readObject(raw, KEYS);
  return {
    ...(raw["network"] === undefined ? {} : { attachment: readObject(raw, ATTACHMENT) }),
    deviceId,
    devices: readDevices(raw),
    ...(softRoCE ? { softRoce: true } : {}),
    ...others,
    ...(bootID === undefined ? {} : { bootId: bootID }),
    createdAt: Date.parse(createdAt ?? "") || modifiedAt,
  };
}

function parseRaw(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ValueError(text === "" ? "it is empty" : "it is not JSON", { cause });
  }
  if (isObject(value)) return value;
  throw new ValueError("it is not an object");
}

function readDevices(raw: Record<string, unknown>): readonly RecordedDevice[] {
  if (raw["devices"] !== undefined) {
    const keys = raw["softRoCE"] === true ? DEVICE : { ...DEVICE, index: REQUIRED_U32 };
    const list = { type: "list", items: { type: "object", keys }, required: true } as const;
    return readObject(raw, { devices: list }).devices;
  }
  // The fork may write null.
  const go = readObject({ ...raw, rdmaQoS: raw["rdmaQoS"] ?? undefined }, GO_DEVICE);
  // It has 0 where no traffic class was set.
  const qos = go.rdmaQoS && { trafficClass: [go.rdmaQoS.tc || -1], tos: [go.rdmaQoS.tos] };
  return [{ hostName: go.sandboxRdmaDevName, podName: go.containerRdmaDevName, ...(qos ? { qos } : {}) }];
}

/** Formats the values that the fork's DEL reads. It would set to 0 what is left out. */
function formatForkQos(qos: RecordedQos | undefined): { tos: number; tc: number } | undefined {
  const [tos, tc] = [qos?.tos?.[0], qos?.trafficClass?.[0]];
  return tos === undefined || tc === undefined ? undefined : { tos, tc: Math.max(tc, 0) };
}
