/** The node as it is now, read once: what the commands judge, so that they do not contradict each other. */
import {
  type BusDevice,
  isRdmaMissing,
  type Kernel,
  type Netns,
  type RdmaDevice,
  type RdmaMode,
} from "../kernel/kernel.ts";
import type { NetnsProcess, NodeKernel } from "../kernel/node_kernel.ts";
import { isRecord, type State, type StoredRecord, type UnreadableFile } from "../plugin/record/state.ts";

/** An RDMA device in a network namespace, with its uverbs device, if it has one. */
export interface PlacedDevice extends RdmaDevice {
  readonly uverbs?: string;
}

/** A network namespace other than the host's. */
export interface Namespace {
  readonly inode: number;
  /** Undefined without an RDMA subsystem, before kernel 5.14, and where the namespace could not be opened. */
  readonly cookie?: string;
  /** The path by which it was opened. */
  readonly openedBy?: string;
  /** Where it is mounted; below /proc/PID/root if only another mount namespace has the mount. */
  readonly paths: readonly string[];
  /** The processes in it, and those that have it open. */
  readonly processes: readonly NetnsProcess[];
  readonly devices: readonly PlacedDevice[];
}

/** The records of a node, and what the kernel has of all that they are about. */
export interface Inventory {
  readonly bootId: string;
  /** Undefined without an RDMA subsystem. */
  readonly mode: RdmaMode | undefined;
  readonly records: readonly StoredRecord[];
  readonly unreadable: readonly UnreadableFile[];
  readonly namespaces: readonly Namespace[];
  /** All processes of the machine could be seen. Otherwise there may be more namespaces. */
  readonly isComplete: boolean;
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
  const mode = findMode(kernel);
  const hasRdma = mode !== undefined;
  const { namespaces, isComplete } = kernel.listOtherNetns((netns) => readNamespace(netns, hasRdma));
  const functions = new Map<string, BusDevice>();
  for (const { deviceId } of records) {
    const found = functions.has(deviceId) ? undefined : kernel.getBusDevice(deviceId);
    if (found) functions.set(deviceId, found);
  }
  return {
    bootId: kernel.getBootId(),
    mode,
    records,
    unreadable: files.flatMap((file) => isRecord(file) ? [] : [file]),
    namespaces: namespaces.map(({ facts, ...namespace }) => ({ ...namespace, devices: [], ...facts })),
    isComplete,
    hostDevices: hasRdma ? kernel.getHostNetns().listRdmaDevices() : [],
    deviceNames: kernel.listDeviceNames(),
    functions,
  };
}

/** Returns the RDMA namespace mode, or undefined without an RDMA subsystem. */
export function findMode(kernel: Kernel): RdmaMode | undefined {
  try {
    return kernel.getRdmaMode();
  } catch (error) {
    if (isRdmaMissing(error)) return undefined;
    throw error;
  }
}

/** Without an RDMA subsystem there is no cookie either: the subsystem's sockets are asked for it. */
function readNamespace(netns: Netns, hasRdma: boolean) {
  const cookie = hasRdma ? netns.getCookie() : undefined;
  const devices = hasRdma ? netns.listRdmaDevices() : [];
  return {
    openedBy: netns.path,
    ...(cookie === undefined ? {} : { cookie }),
    devices: devices.map((device): PlacedDevice => {
      const uverbs = netns.getUverbs(device.index);
      return uverbs === undefined ? device : { ...device, uverbs };
    }),
  };
}

/** Returns a path to a namespace, for people: where it is mounted, or else by what it was found. */
export function pathTo({ paths: [path], openedBy, inode }: Namespace): string {
  return path ?? openedBy ?? `network namespace ${inode}`;
}
