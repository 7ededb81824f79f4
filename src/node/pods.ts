/** The RDMA devices of pods: the plugin's records, and what the kernel says of the devices. */
import { CniError } from "../cni/error.ts";
import { type IpAddress, isLinkLocal, type Netns, type RdmaDevice, readGids } from "../kernel/kernel.ts";
import type { LinkDetails, NodeKernel, PortDetails } from "../kernel/node_kernel.ts";
import { type Fate, type FateState, judge, type Owner, ownerOf } from "./fate.ts";
import { type Inventory, takeInventory } from "./inventory.ts";
import { isSameNetns, keepIf, openIfThere, openRecorded } from "../plugin/record/namespaces.ts";
import { lockState } from "../plugin/record/lock.ts";
import { getRecordedDevice, type RecordedDevice } from "../plugin/record/record.ts";
import { isRecord, type State, type StoredRecord, type UnreadableFile } from "../plugin/record/state.ts";
import { isPermission, messageOf } from "../sys/errno.ts";

/** Calls in line for the lock may take longer; then it is not known where a device is. */
const LOCK_TIMEOUT_MS = 10_000;

/** An RDMA device that a record says a pod has. */
export interface PodDevice extends Owner {
  /** The PCI or auxiliary device, or `rxe:` and the interface. */
  readonly deviceId: string;
  /** Its name in the pod; the recorded one if it is not there. */
  readonly device: string;
  readonly hostDevice: string;
  /**
   * The fate of the attachment. Also "unknown": the device is in the pod, but the kernel did not say all of it; or it is
   * not there, and a CNI call that may be moving it did not end in time.
   */
  readonly status: FateState;
  /** The way out if it is not present. */
  readonly advice?: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** The numbers of objects of each kind ("qp", "mr", "cq", "pd" ...) that programs and the kernel have on it. */
  readonly resources: Readonly<Record<string, number>>;
  readonly ports: readonly PodPort[];
  /** The pod's interface, if it is there. */
  readonly netdev?: PodNetdev;
}

/** The interface of a pod, next to its RDMA device. */
export interface PodNetdev extends Pick<LinkDetails, "isEnabled" | "mtu" | "parentDevice"> {
  /** A path to the pod's network namespace. */
  readonly netns: string;
  /** Its addresses, but for link-local ones, for which no port of a RoCE device has a GID. */
  readonly withoutGid: readonly string[];
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

/**
 * Reads which pod has which RDMA device, and the devices' ports, counters and resources. It changes nothing.
 *
 * Most records are as they say, and their paths lead to the pods. For the others all of the node is looked at, once. If a
 * device is not where it should be, a CNI call may be moving it and not yet have written or removed its record. So the
 * record is looked at again while no call is at work, for which the lock is held no longer than one look takes.
 *
 * @throws {Error} as the kernel layer does, without the rights to read records or to enter the pods' network namespaces
 * @throws {CniError} when the records cannot be read
 */
export function collect(kernel: NodeKernel, state: State): Collected {
  const files = state.listFiles();
  const found = files.map((file) => isRecord(file) ? readByPath(kernel, file) : undefined);
  if (found.every((one) => one !== undefined)) return join(found);
  const inventory = takeInventory(kernel, state);
  const faults: string[] = [];
  const lock = waitForCalls(kernel, state, faults);
  const rest = files.map((file, at) => found[at] ?? readOdd(kernel, state, inventory, file, lock));
  return join([...rest, { devices: [], faults }]);
}

/** Reads the devices of those records that are as they say, whose paths lead to the pods. It changes nothing. */
export function collectPresent(kernel: NodeKernel, records: readonly StoredRecord[]): PodDevice[] {
  return records.flatMap((record) => readByPath(kernel, record)?.devices ?? []);
}

function join(found: readonly Collected[]): Collected {
  return {
    devices: found.flatMap(({ devices }) => devices),
    faults: found.flatMap(({ faults }) => faults),
  };
}

/** Does something while no CNI call is at work, or while one may be. @returns whether none was */
type WhileNoCall = (work: () => void) => boolean;

/** Waits for calls until one does not end in time; the next ones are not waited for. */
function waitForCalls(kernel: NodeKernel, { directory }: State, faults: string[]): WhileNoCall {
  const lock = (): Disposable | undefined => {
    if (faults.length > 0) return undefined;
    try {
      return lockState(kernel, directory, "rdma-cni pods", LOCK_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      faults.push(error.message);
      return undefined;
    }
  };
  return (work) => {
    using held = lock();
    work();
    return held !== undefined;
  };
}

const PRESENT: Fate = { state: "present", reason: "" };

/** Reads a record whose path leads to the pod, with all its devices; undefined of any other. */
function readByPath(kernel: NodeKernel, record: StoredRecord): Collected | undefined {
  using netns = openWithDevices(kernel, record);
  const read = netns && readDevices(kernel, netns, record, PRESENT);
  return read?.faults.length === 0 ? read : undefined;
}

/** The pod's namespace, if the recorded path leads there and it has all of the devices. */
function openWithDevices(kernel: NodeKernel, { netns: recorded, bootId, devices }: StoredRecord) {
  if (!recorded || bootId !== undefined && bootId !== kernel.getBootId()) return undefined;
  const netns = openRecorded(kernel, recorded);
  return netns && keepIf(netns, () => devices.every((device) => getRecordedDevice(netns, device)));
}

/** Reads a record that is not as it says. */
function readOdd(
  kernel: NodeKernel,
  state: State,
  inventory: Inventory,
  { file }: StoredRecord | UnreadableFile,
  whileNoCall: WhileNoCall,
): Collected {
  using opened = new DisposableStack();
  let record: StoredRecord | UnreadableFile | undefined;
  let netns: Netns | undefined;
  const isSettled = whileNoCall(() => {
    record = state.read(file);
    if (record && isRecord(record)) netns = opened.use(openWithDevices(kernel, record));
  });
  if (!record) return { devices: [], faults: [] };
  if (!isRecord(record)) return { devices: [], faults: [record.fault] };
  if (netns) return readDevices(kernel, netns, record, PRESENT);
  const fate = judge(inventory, record, "rdma-cni");
  const read = readDevices(kernel, opened.use(openHeld(kernel, fate)), record, fate);
  return isSettled ? read : { ...read, devices: read.devices.map(doubt) };
}

/** The namespace of an attachment that lives, by whatever leads to it now. */
function openHeld(kernel: NodeKernel, { namespace }: Fate): Netns | undefined {
  const netns = namespace?.openedBy === undefined ? undefined : openIfThere(kernel, namespace.openedBy);
  return netns &&
    keepIf(netns, () => isSameNetns({ inode: netns.inode, cookie: netns.getCookie() }, namespace!));
}

/** Leaves out what is not known of a device while a CNI call may be moving it. */
function doubt(device: PodDevice): PodDevice {
  if (device.status !== "missing") return device;
  const { advice: _, ...facts } = device;
  return { ...facts, status: "unknown" };
}

/** Reads the devices of a record in the pod's namespace; those that are not there have what the record says. */
function readDevices(
  kernel: NodeKernel,
  netns: Netns | undefined,
  record: StoredRecord,
  { state: status, remedy }: Fate,
): Collected {
  const faults: string[] = [];
  const devices = record.devices.map((recorded): PodDevice => {
    const device = netns && getRecordedDevice(netns, recorded);
    const advice = remedy === undefined ? {} : { advice: remedy };
    const facts = { ...describeRecord(record, recorded), status, ...advice };
    if (!device) return facts;
    const present: PodDevice = status === "missing" ? { ...facts, status: "present" } : facts;
    try {
      return { ...present, device: device.name, ...readDevice(kernel, netns, device, facts.interface) };
    } catch (error) {
      if (isPermission(error)) throw error;
      faults.push(
        `Cannot read all of RDMA device ${JSON.stringify(device.name)} (${record.file}): ${messageOf(error)}`,
      );
      return { ...present, device: device.name, status: "unknown" };
    }
  });
  return { devices, faults };
}

function describeRecord(record: StoredRecord, { hostName, podName }: RecordedDevice) {
  const { deviceId, createdAt } = record;
  return {
    ...ownerOf(record),
    deviceId,
    device: podName,
    hostDevice: hostName,
    createdAt,
    resources: {},
    ports: [],
  };
}

function readDevice(
  kernel: NodeKernel,
  netns: Netns,
  { index, name }: RdmaDevice,
  ifname: string | undefined,
) {
  const addresses = ifname === undefined ? [] : listAddressesOf(netns, ifname);
  const isFound = (port: PortDetails) =>
    !port.hasMoreGids || addresses.every((address) => findGid(port, [address]) !== undefined);
  const ports = readGids(
    (gidLimit) => kernel.listPortDetails(netns, name, gidLimit),
    (found) => found.every(isFound),
  );
  const link = kernel.listLinks(netns).find(({ name }) => name === ifname);
  return {
    ...(link
      ? { netdev: { ...describeLink(link), netns: netns.path, withoutGid: listWithoutGid(ports, addresses) } }
      : {}),
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

/** The addresses of an interface; a link-local one comes last. */
function listAddressesOf(netns: Netns, ifname: string): IpAddress[] {
  const link = netns.getLink(ifname);
  const all = link ? netns.listAddresses(link.index) : [];
  return [...all.filter(({ gid }) => !isLinkLocal(gid)), ...all.filter(({ gid }) => isLinkLocal(gid))];
}

function findGid({ gids }: PortDetails, addresses: readonly IpAddress[]) {
  const own = addresses.map((address) => gids.find(({ gid, isRoceV2 }) => isRoceV2 && gid === address.gid));
  return own.find((gid) => gid !== undefined);
}

function describeLink({ isEnabled, mtu, parentDevice }: LinkDetails) {
  return {
    isEnabled,
    ...(mtu === undefined ? {} : { mtu }),
    ...(parentDevice === undefined ? {} : { parentDevice }),
  };
}

function listWithoutGid(ports: readonly PortDetails[], addresses: readonly IpAddress[]): string[] {
  const gids = ports.filter(({ isRoce }) => isRoce).map(({ gids }) => gids);
  if (gids.length === 0) return [];
  return addresses.filter(({ gid }) => !isLinkLocal(gid) && !gids.flat().some((one) => one.gid === gid))
    .map(({ text }) => text);
}
