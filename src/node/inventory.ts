/** The node as it is now, read once for all that judge it, so that they do not contradict each other. */
import { type BusDevice, isRdmaMissing, type RdmaDevice, type RdmaMode } from "../kernel/kernel.ts";
import type { LinkDetails, NetnsProcess, NodeKernel, RdmaNode } from "../kernel/node_kernel.ts";
import { isRecord, type State, type StoredRecord, type UnreadableFile } from "../plugin/record/state.ts";

/** An RDMA device in a network namespace, with its uverbs device, if it has one. */
export interface PlacedDevice extends RdmaNode {
  readonly uverbs?: string;
}

/** A network namespace other than the host's. */
export interface Namespace {
  readonly inode: number;
  /** Undefined without an RDMA subsystem, before kernel 5.14, and where the namespace could not be opened. */
  readonly cookie?: string | undefined;
  /** The path by which it was opened. */
  readonly openedBy?: string;
  /** The paths of its mounts; below /proc/PID/root if only another mount namespace has the mount. */
  readonly paths: readonly string[];
  /** The processes in it, and those that have it open. */
  readonly processes: readonly NetnsProcess[];
  readonly devices: readonly PlacedDevice[];
  readonly links: readonly LinkDetails[];
}

/** The namespaces of a node. */
interface Namespaces {
  readonly namespaces: readonly Namespace[];
  /** All processes of the machine could be seen. Otherwise there may be more namespaces. */
  readonly isComplete: boolean;
}

/** The records of a node, and what the kernel has of all that they are about. */
export interface Inventory extends Namespaces {
  readonly bootId: string;
  /** Undefined without an RDMA subsystem. */
  readonly mode: RdmaMode | undefined;
  readonly records: readonly StoredRecord[];
  readonly unreadable: readonly UnreadableFile[];
  readonly hostDevices: readonly RdmaDevice[];
  /** Names of the RDMA devices that have a uverbs device, in whatever namespace they are. */
  readonly deviceNames: readonly string[];
  /** The functions that records name and a bus has. */
  readonly functions: ReadonlyMap<string, BusDevice>;
}

/** Reads the node. The records come first, so that the namespace of each is among those read after, unless it has gone. */
export function takeInventory(kernel: NodeKernel, state: State): Inventory {
  const files = state.listFiles();
  const records = files.filter(isRecord);
  const functions = new Map<string, BusDevice>();
  for (const { deviceId } of records) {
    const found = functions.has(deviceId) ? undefined : kernel.getBusDevice(deviceId);
    if (found) functions.set(deviceId, found);
  }
  return {
    bootId: kernel.getBootId(),
    mode: askRdma(() => kernel.getRdmaMode()),
    records,
    unreadable: files.flatMap((file) => isRecord(file) ? [] : [file]),
    ...listNamespaces(kernel),
    hostDevices: askRdma(() => kernel.getHostNetns().listRdmaDevices()) ?? [],
    deviceNames: kernel.listDeviceNames(),
    functions,
  };
}

/** Walks /proc, and reads each namespace other than the host's while something leads to it. */
export function listNamespaces(kernel: NodeKernel): Namespaces {
  const { namespaces, isComplete } = kernel.listOtherNetns((netns) => ({
    openedBy: netns.path,
    cookie: askRdma(() => netns.getCookie()),
    devices: (askRdma(() => kernel.listRdmaNodes(netns)) ?? []).map((device): PlacedDevice => {
      const uverbs = netns.getUverbs(device.index);
      return uverbs === undefined ? device : { ...device, uverbs };
    }),
    links: kernel.listLinks(netns),
  }));
  return {
    namespaces: namespaces.map(({ facts, ...one }) => ({ ...one, devices: [], links: [], ...facts })),
    isComplete,
  };
}

/** Returns the answer of the RDMA subsystem, whose sockets are asked for cookies too, or undefined without one. */
export function askRdma<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (isRdmaMissing(error)) return undefined;
    throw error;
  }
}

/** Returns a path to a namespace, for people: where it is mounted, or else by what it was found. */
export function pathTo({ paths: [path], openedBy, inode }: Namespace): string {
  return path ?? openedBy ?? `network namespace ${inode}`;
}
