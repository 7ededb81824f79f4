/** Which pod has which RDMA device: the plugin's records, and what the kernel says of the devices. */
import { CniError } from "../../cni/error.ts";
import type { Netns, RdmaDevice } from "../../kernel/kernel.ts";
import type { NodeKernel, PortDetails } from "../../kernel/node_kernel.ts";
import { Log } from "../../log.ts";
import { openRecorded, searchNetns } from "../../plugin/namespaces.ts";
import { lockState } from "../../plugin/lock.ts";
import { type Attachment, getRecordedDevice, type RecordedDevice } from "../../plugin/record.ts";
import { isRecord, type State, type StoredRecord, type UnreadableFile } from "../../plugin/state.ts";
import { messageOf } from "../../sys/errno.ts";
import { CommandError, isPermission } from "../errors.ts";

/** Calls in line for the lock may take longer; then it is not known where a device is. */
const LOCK_TIMEOUT_MS = 10_000;

/**
 * "present": the device is in the pod. "missing": the pod is there, but not the device. "stale": the pod's network
 * network namespace has gone. "unknown": the device is in the pod, but the kernel did not say all of it; or it is not
 * there, and a CNI call that may be moving it did not end in time.
 */
export type Status = "present" | "missing" | "stale" | "unknown";

/** An RDMA device that a record says a pod has. */
export interface PodDevice {
  /** The name of the record's file. */
  readonly record: string;
  /** Of the Kubernetes pod, if the record has it. */
  readonly namespace?: string;
  readonly pod?: string;
  readonly containerId?: string;
  readonly interface?: string;
  readonly network?: string;
  /** The PCI or auxiliary device, or `rxe:` and the interface. */
  readonly deviceId: string;
  /** Its name in the pod; the recorded one if it is not there. */
  readonly device: string;
  readonly hostDevice: string;
  readonly status: Status;
  /** What to do about it. */
  readonly advice?: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** How many objects of each kind ("qp", "mr", "cq", "pd" ...) programs and the kernel have on it. */
  readonly resources: Readonly<Record<string, number>>;
  readonly ports: readonly PodPort[];
}

/** A port of an RDMA device in a pod. */
export interface PodPort extends Pick<PortDetails, "number" | "state" | "bitsPerSecond" | "traffic"> {
  /** The RoCE v2 GID that stands for the address of the pod's interface; on InfiniBand the port's first GID. */
  readonly gid?: { readonly index: number; readonly gid: string };
  /** The hardware counters by the driver's names. Above 2^53 they are rounded, as in Prometheus. */
  readonly counters: Readonly<Record<string, number>>;
}

/** The devices of all records, in the order of the records' names, and what could not be read. */
export interface Collected {
  readonly devices: readonly PodDevice[];
  readonly faults: readonly string[];
}

/** Enough for the addresses of most pods. A larger table is read whole if they are not among these. */
const FIRST_GIDS = 16;
const STALE_ADVICE = "rdma-cni gc";
const MISSING_ADVICE = "delete the pod, so that it is recreated with its RDMA device";

/**
 * Reads which pod has which RDMA device, and the devices' ports, counters and resources. It changes nothing.
 *
 * @throws {CommandError} without the rights to read records or to enter the pods' network namespaces
 * @throws {CniError} when the records cannot be read
 */
export function collect(kernel: NodeKernel, state: State): Collected {
  try {
    return readAll(kernel, state);
  } catch (error) {
    if (!isPermission(error)) throw error;
    throw new CommandError(
      messageOf(error),
      "This needs root with CAP_SYS_ADMIN, and CAP_SYS_PTRACE where network namespaces have paths below /proc.",
      undefined,
      { cause: error },
    );
  }
}

function readAll(kernel: NodeKernel, state: State): Collected {
  const found = state.listFiles().map((file) => read(kernel, file));
  // A CNI call may have moved a device and not yet written or removed its record: look again when none is at work.
  const faults: string[] = [];
  if (found.some(({ isCertain }) => !isCertain)) {
    using lock = waitForCalls(kernel, state, faults);
    for (const [at, { file, isCertain }] of found.entries()) {
      if (isCertain) continue;
      const now = state.read(file);
      found[at] = now ? read(kernel, now) : { file, isCertain: true, devices: [], faults: [] };
      if (!lock) found[at] = { ...found[at], devices: found[at].devices.map(doubt) };
    }
  }
  return {
    devices: found.flatMap(({ devices }) => devices),
    faults: [...found.flatMap(({ faults }) => faults), ...faults],
  };
}

/** Waits for the CNI calls at work. @returns undefined, and a fault in the list, if that takes too long */
function waitForCalls(kernel: NodeKernel, { directory }: State, faults: string[]): Disposable | undefined {
  try {
    return lockState(kernel, directory, "rdma-cni pods", LOCK_TIMEOUT_MS);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    faults.push(error.message);
    return undefined;
  }
}

/** What is known of a device while a CNI call may be moving it. */
function doubt(device: PodDevice): PodDevice {
  if (device.status !== "missing") return device;
  const { advice: _, ...facts } = device;
  return { ...facts, status: "unknown" };
}

/** What was found of a record. */
interface Found extends Collected {
  readonly file: string;
  /** All is as the record says. */
  readonly isCertain: boolean;
}

function read(kernel: NodeKernel, found: StoredRecord | UnreadableFile): Found {
  const { file } = found;
  if (!isRecord(found)) return { file, isCertain: false, devices: [], faults: [found.fault] };
  const faults: string[] = [];
  using netns = openNetns(kernel, found);
  const devices = found.devices.map((recorded): PodDevice => {
    const device = netns && getRecordedDevice(netns, recorded);
    const facts = describeRecord(found, recorded);
    if (!netns) return { ...facts, status: "stale", advice: STALE_ADVICE };
    if (!device) return { ...facts, status: "missing", advice: MISSING_ADVICE };
    const present: PodDevice = { ...facts, device: device.name, status: "present" };
    try {
      return { ...present, ...readDevice(kernel, netns, device, facts.interface) };
    } catch (error) {
      if (isPermission(error)) throw error;
      faults.push(
        `Cannot read all of RDMA device ${JSON.stringify(device.name)} (${file}): ${messageOf(error)}`,
      );
      return { ...present, status: "unknown" };
    }
  });
  return { file, isCertain: devices.every(({ status }) => status === "present"), devices, faults };
}

/** The pod's namespace, also if it has lost its path; undefined if it has gone. */
function openNetns(kernel: NodeKernel, record: StoredRecord): Netns | undefined {
  const { netns, bootId } = record;
  if (bootId !== undefined && bootId !== kernel.getBootId()) return undefined;
  return (netns && openRecorded(kernel, netns)) ?? searchNetns(kernel, new Log(), record);
}

function describeRecord(record: StoredRecord, { hostName, podName }: RecordedDevice) {
  const { file, pod, deviceId, createdAt } = record;
  const attachment = record.attachment ?? attachmentOf(file);
  return {
    record: file,
    ...(pod ? { namespace: pod.namespace, pod: pod.name } : {}),
    ...(attachment
      ? { containerId: attachment.containerID, interface: attachment.ifname, network: attachment.network }
      : {}),
    deviceId,
    device: podName,
    hostDevice: hostName,
    createdAt,
    resources: {},
    ports: [],
  };
}

/** A record of version 1.0 has the attachment in its name alone, where it is certain only if the container ID is long. */
function attachmentOf(file: string): Attachment | undefined {
  const [, network, containerID, ifname] = /^(.+)-([0-9a-f]{64})-(.+)$/.exec(file) ?? [];
  return network && containerID && ifname ? { network, containerID, ifname } : undefined;
}

function readDevice(
  kernel: NodeKernel,
  netns: Netns,
  { index, name }: RdmaDevice,
  ifname: string | undefined,
) {
  const addresses = ifname === undefined ? [] : listGidsOfInterface(netns, ifname);
  let ports = kernel.listPortDetails(netns, name, FIRST_GIDS);
  const isFound = (port: PortDetails) =>
    addresses.length === 0 || !port.hasMoreGids || findGid(port, addresses);
  if (!ports.every(isFound)) ports = kernel.listPortDetails(netns, name, Infinity);
  return {
    ports: ports.map((port): PodPort => {
      const { isActive: _, isRoce, gids, hasMoreGids: __, ...facts } = port;
      const own = isRoce ? findGid(port, addresses) : gids[0];
      const counters = kernel.listCounters(netns, index, port.number);
      return {
        ...facts,
        ...(own ? { gid: { index: own.index, gid: own.gid } } : {}),
        counters: Object.fromEntries(counters.map(({ name, value }) => [name, Number(value)])),
      };
    }),
    // This comes last: it fails if the device has left meanwhile, where the above finds nothing.
    resources: Object.fromEntries(
      netns.listResources(index).map(({ kind, count }) => [kind, Number(count)]),
    ),
  };
}

/** fe80::/10. */
const LINK_LOCAL = /^fe[89ab]/;

/** The GIDs that stand for the addresses of an interface; a link-local one comes last. */
function listGidsOfInterface(netns: Netns, ifname: string): string[] {
  const link = netns.getLink(ifname);
  const gids = link ? netns.listAddresses(link.index).map(({ gid }) => gid) : [];
  return [...gids.filter((gid) => !LINK_LOCAL.test(gid)), ...gids.filter((gid) => LINK_LOCAL.test(gid))];
}

function findGid({ gids }: PortDetails, addresses: readonly string[]) {
  const own = addresses.map((address) => gids.find(({ gid, isRoceV2 }) => isRoceV2 && gid === address));
  return own.find((gid) => gid !== undefined);
}
