import type { Log } from "../log.ts";
import { EPROTONOSUPPORT, NetlinkError, NetnsError, SyscallError } from "../kernel/error.ts";
import type { BusDevice, Kernel, Netns, RdmaDevice } from "../kernel/kernel.ts";
import { isAway, listDevicesIn } from "./device.ts";
import { moveDevice, refuseSubDevices } from "./move.ts";
import type { Node } from "./node.ts";
import type { AttachmentRecord, RecordedNetns } from "./record.ts";

/** The kernel gives devices of a dead namespace back by itself, usually within a second. */
const RETURN_TIMEOUT_MS = 3000;
const RETURN_POLL_MS = 20;

/**
 * Brings the devices of a recorded attachment to the host's namespace and gives them their names back. Devices that
 * are home already, or gone, or that a newer attachment owns, are left alone.
 *
 * @param netnsPath CNI_NETNS; empty when the runtime does not say
 * @throws {CniError} code 120 when a device is there but cannot be moved
 */
export function bringHome(
  node: Node,
  log: Log,
  file: string,
  record: AttachmentRecord,
  netnsPath: string,
): void {
  const { kernel } = node;
  if (!canBeAway(kernel, log)) return;
  if (record.bootId !== undefined && record.bootId !== kernel.bootId) {
    return log.info(`Record ${file} is from before the last boot: its devices are home`);
  }
  using byPath = openByPath(kernel, log, record, netnsPath);
  // Only a namespace that is certainly the recorded one cannot be a newer attachment's.
  const owner = byPath && record.netns ? undefined : findNewerClaim(node, file, record);
  if (owner) return log.info(`Device ${record.deviceId} belongs to ${owner} by now: not touched`);

  using netns = byPath ?? searchNetns(kernel, log, record);
  if (netns) fetchDevices(kernel, log, record, netns);
  if (
    !isHome(kernel, record.deviceId) && !findNewerClaim(node, file, record) &&
    !awaitReturn(kernel, record.deviceId)
  ) {
    log.warning(
      `Device ${record.deviceId} is in a network namespace that cannot be found; it comes home when that ends`,
    );
  }
  restoreNames(node, log, file, record);
}

/**
 * Brings home what a namespace has of a function, when no record tells which devices were moved.
 *
 * @throws {CniError} code 120 when a device is there but cannot be moved
 */
export function bringHomeUnrecorded(
  node: Node,
  log: Log,
  file: string,
  deviceId: string,
  netnsPath: string,
): void {
  const { kernel } = node;
  if (!canBeAway(kernel, log)) return;
  const record = { deviceId, devices: [], createdAt: 0 };
  const owner = findNewerClaim(node, file, record);
  if (owner) return log.info(`Device ${deviceId} belongs to ${owner}: not touched`);
  using netns = openIfThere(kernel, netnsPath);
  if (netns) fetchDevices(kernel, log, record, netns);
}

/** The namespace of a record, if its path still leads to it. */
export function openRecorded(kernel: Kernel, recorded: RecordedNetns): Netns | undefined {
  const netns = openIfThere(kernel, recorded.path);
  if (!netns || isRecorded(netns, recorded)) return netns;
  netns[Symbol.dispose]();
  return undefined;
}

/** Whether a namespace is the recorded one. Numbers are used again after a namespace has gone, cookies never. */
export function isRecorded(netns: Netns, recorded: RecordedNetns): boolean {
  if (netns.cookie !== undefined && recorded.cookie !== undefined) return netns.cookie === recorded.cookie;
  return netns.inode === recorded.inode;
}

/** In shared mode, and without an RDMA subsystem, no device is in any namespace but the host's. */
function canBeAway(kernel: Kernel, log: Log): boolean {
  try {
    if (kernel.getRdmaMode() === "exclusive") return true;
    log.info("The RDMA subsystem is in mode shared: no device can be in a pod");
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errno !== EPROTONOSUPPORT) throw error;
    log.info("The kernel has no RDMA subsystem (ib_core is not loaded): no device can be in a pod");
  }
  return false;
}

/** The file of a record that claims the same function and is newer: kubelet may delete an old pod late. */
function findNewerClaim({ kernel, state }: Node, file: string, record: AttachmentRecord): string | undefined {
  return state.list().find((entry) =>
    entry.file !== file && entry.record?.deviceId === record.deviceId &&
    (entry.record.bootId ?? kernel.bootId) === kernel.bootId && entry.record.createdAt >= record.createdAt
  )?.file;
}

/** The namespace that the devices were moved to, by the runtime's path or else by the recorded one. */
function openByPath(
  kernel: Kernel,
  log: Log,
  record: AttachmentRecord,
  netnsPath: string,
): Netns | undefined {
  for (const path of [netnsPath, record.netns?.path ?? ""]) {
    const netns = openIfThere(kernel, path);
    if (!netns) continue;
    if (!record.netns || isRecorded(netns, record.netns)) return netns;
    log.info(`${JSON.stringify(path)} is another network namespace by now`);
    netns[Symbol.dispose]();
  }
  return undefined;
}

/** A process or an open file can keep a namespace alive, and the devices in it, after its path has gone. */
function searchNetns(kernel: Kernel, log: Log, record: AttachmentRecord): Netns | undefined {
  const { netns: recorded } = record;
  const bus = kernel.getBusDevice(record.deviceId);
  if (!bus || !mayBeAway(kernel, bus, record)) return undefined;
  for (const { path, inode } of kernel.listNetns()) {
    if (inode === kernel.hostNetns.inode || (recorded && inode !== recorded.inode)) continue;
    const netns = openIfThere(kernel, path);
    if (!netns) continue;
    if (recorded ? isRecorded(netns, recorded) : listDevicesIn(netns, bus).length > 0) {
      log.info(`Network namespace ${inode} has lost its path but lives on as ${path}`);
      return netns;
    }
    netns[Symbol.dispose]();
  }
  return undefined;
}

/** Without uverbs devices, as when ib_uverbs is not loaded, a device can be away although {@linkcode isAway} says no. */
function mayBeAway(kernel: Kernel, bus: BusDevice, { devices }: AttachmentRecord): boolean {
  if (isAway(bus)) return true;
  const atHome = kernel.hostNetns.listRdmaDevices().map(({ index }) => index);
  return bus.rdmaDevices.length === 0 &&
    devices.some(({ index }) => index !== undefined && !atHome.includes(index));
}

function fetchDevices(kernel: Kernel, log: Log, record: AttachmentRecord, netns: Netns): void {
  if (netns.inode === kernel.hostNetns.inode) return;
  const devices = listOwnDevices(kernel, record, netns);
  refuseSubDevices(devices, [...netns.listRdmaDevices(), ...listSubDevicesAtHome(kernel, record.deviceId)]);
  for (const device of devices) {
    moveDevice(kernel, device, netns, kernel.hostNetns);
    log.info(`RDMA device ${device.name} (index ${device.index}) brought home from ${netns.path}`);
  }
}

/** A new sub-device appears in the host's namespace, wherever its parent is. */
function listSubDevicesAtHome(kernel: Kernel, deviceId: string): RdmaDevice[] {
  const visible = kernel.getBusDevice(deviceId)?.rdmaDevices ?? [];
  return visible.length === 0
    ? []
    : kernel.hostNetns.listRdmaDevices().filter(({ parent }) => parent !== undefined);
}

/** By index, which a device keeps on all its moves; by name in records that have no index; and by function. */
function listOwnDevices(kernel: Kernel, record: AttachmentRecord, netns: Netns): RdmaDevice[] {
  const bus = kernel.getBusDevice(record.deviceId);
  const ofFunction = bus ? listDevicesIn(netns, bus).map(({ index }) => index) : [];
  return netns.listRdmaDevices().filter((device) =>
    ofFunction.includes(device.index) ||
    record.devices.some(({ index, podName }) =>
      index === undefined ? podName === device.name : index === device.index
    )
  );
}

/**
 * Waits up to 3 seconds for devices that a dying namespace still has.
 *
 * @returns whether all devices of the function are home
 */
export function awaitReturn(kernel: Kernel, deviceId: string): boolean {
  for (let waitedMs = 0;; waitedMs += RETURN_POLL_MS) {
    if (isHome(kernel, deviceId)) return true;
    if (waitedMs >= RETURN_TIMEOUT_MS) return false;
    kernel.sleep(RETURN_POLL_MS);
  }
}

function isHome(kernel: Kernel, deviceId: string): boolean {
  const bus = kernel.getBusDevice(deviceId);
  return !bus || !isAway(bus);
}

/** A device may have another name: the pod or udev renamed it. It gets its old one back unless that is taken. */
function restoreNames(node: Node, log: Log, file: string, record: AttachmentRecord): void {
  const { hostNetns } = node.kernel;
  const atHome = hostNetns.listRdmaDevices();
  for (const { index, podName, hostName } of record.devices) {
    const device = atHome.find((candidate) =>
      index === undefined ? candidate.name === podName : candidate.index === index
    );
    if (!device || !hostName || device.name === hostName || findNewerClaim(node, file, record)) continue;
    try {
      hostNetns.renameRdmaDevice(device.index, hostName);
      log.info(`RDMA device ${device.name} (index ${device.index}) is called ${hostName} again`);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      log.warning(`RDMA device ${device.name} (index ${device.index}) keeps its name: ${error.message}`);
    }
  }
}

function openIfThere(kernel: Kernel, path: string): Netns | undefined {
  if (!path) return undefined;
  try {
    return kernel.openNetns(path);
  } catch (error) {
    if (error instanceof NetnsError) return undefined;
    throw error;
  }
}
