import type { Call } from "../cni/dispatch.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Log } from "../log.ts";
import { EPROTONOSUPPORT, NetlinkError, SyscallError } from "../kernel/error.ts";
import type { BusDevice, Kernel, Netns, RdmaDevice } from "../kernel/kernel.ts";
import { findNewerClaim, listNewerClaims } from "./claim.ts";
import { isAway, listDevicesIn } from "./device.ts";
import { moveDevice, refuseSubDevices } from "./move.ts";
import type { Node } from "./node.ts";
import { isIpoibOf } from "./pod_links.ts";
import { restoreQos } from "./qos.ts";
import type { AttachmentRecord, RecordedDevice } from "./record.ts";
import { openByPath, openIfThere, searchNetns } from "./recorded_netns.ts";

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
  handOverNames(node, log, file, record);
  using byPath = openByPath(kernel, log, record, netnsPath);
  // Only a namespace that is certainly the recorded one cannot be a newer attachment's.
  const owner = byPath && record.netns ? undefined : findNewerClaim(node, file, record);
  if (owner) {
    log.info(`Device ${record.deviceId} belongs to ${owner.file} by now: not touched`);
    return restoreQos(node, log, file, record);
  }

  using netns = byPath ?? searchNetns(kernel, log, record);
  const fetched = netns ? fetchDevices(kernel, log, record, netns) : [];
  if (
    !areAll(record.devices, fetched) && !isHome(kernel, record.deviceId) &&
    !findNewerClaim(node, file, record) && !awaitReturn(kernel, record.deviceId)
  ) {
    log.warning(
      `Device ${record.deviceId} is in a network namespace that cannot be found; it comes home when that ends`,
    );
  }
  restoreNames(node, log, file, record);
  restoreQos(node, log, file, record);
}

/**
 * Brings home what a namespace has of a function, when no record tells which devices were moved. A device whose IPoIB
 * interface is the pod's is left there: ib-sriov-cni moved both, and brings them home after the interface was released.
 *
 * @throws {CniError} code 120 when a device is there but cannot be moved
 */
export function bringHomeUnrecorded(
  { environment, log }: Call,
  node: Node,
  file: string,
  deviceId: string,
  netnsPath: string,
): void {
  const { kernel } = node;
  if (!canBeAway(kernel, log)) return;
  const record = { deviceId, devices: [], createdAt: 0 };
  const owner = findNewerClaim(node, file, record);
  if (owner) return log.info(`Device ${deviceId} belongs to ${owner.file}: not touched`);
  using netns = openIfThere(kernel, netnsPath);
  if (!netns) return;
  const link = netns.getLink(environment.ifname);
  if (link && isIpoibOf(link, deviceId)) {
    return log.info(`Interface ${environment.ifname} is IPoIB on device ${deviceId}: not touched`);
  }
  fetchDevices(kernel, log, record, netns);
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

/** @returns the devices that were there and are home now */
function fetchDevices(kernel: Kernel, log: Log, record: AttachmentRecord, netns: Netns): RdmaDevice[] {
  if (netns.inode === kernel.hostNetns.inode) return [];
  const bus = kernel.getBusDevice(record.deviceId);
  const present = netns.listRdmaDevices();
  const devices = selectOwn(present, record, bus ? listDevicesIn(netns, bus, present) : []);
  refuseSubDevices(devices, [...present, ...listSubDevicesAtHome(kernel, bus)]);
  for (const device of devices) {
    moveHome(kernel, device, netns);
    log.info(`RDMA device ${device.name} (index ${device.index}) brought home from ${netns.path}`);
  }
  return devices;
}

/**
 * A kernel that keeps the names of each namespace apart may have another device of that name at home. It gives a device
 * of a namespace that ends another one then, and so does this.
 */
function moveHome(kernel: Kernel, device: RdmaDevice, netns: Netns): void {
  try {
    moveDevice(kernel, device, netns, kernel.hostNetns);
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== ErrorCode.nameTaken) throw error;
    netns.renameRdmaDevice(device.index, `ibdev${device.index}`);
    moveDevice(kernel, device, netns, kernel.hostNetns);
  }
}

/** A new sub-device appears in the host's namespace, wherever its parent is. */
function listSubDevicesAtHome(kernel: Kernel, bus: BusDevice | undefined): RdmaDevice[] {
  if (!bus || bus.rdmaDevices.length === 0) return [];
  return kernel.hostNetns.listRdmaDevices().filter(({ parent }) => parent !== undefined);
}

/** Those that a record tells of, and those of the function. */
function selectOwn(
  present: readonly RdmaDevice[],
  record: AttachmentRecord,
  ofFunction: readonly RdmaDevice[],
): RdmaDevice[] {
  return present.filter((device) =>
    ofFunction.includes(device) || record.devices.some((recorded) => isSame(recorded, device))
  );
}

/** By index, which a device keeps on all its moves; by name in records that have no index. */
function isSame({ index, podName }: RecordedDevice, device: RdmaDevice): boolean {
  return index === undefined ? podName === device.name : index === device.index;
}

/** Whether all devices of a record, and at least one, are among those given. */
function areAll(recorded: readonly RecordedDevice[], devices: readonly RdmaDevice[]): boolean {
  return recorded.length > 0 && recorded.every((one) => devices.some((device) => isSame(one, device)));
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
  for (const { index, podName, hostName } of record.devices) {
    const device = index === undefined
      ? hostNetns.listRdmaDevices().find(({ name }) => name === podName)
      : hostNetns.getRdmaDevice(index);
    if (!device || !hostName || device.name === hostName || findNewerClaim(node, file, record)) continue;
    try {
      hostNetns.renameRdmaDevice(device.index, hostName);
      log.info(`RDMA device ${device.name} (index ${device.index}) is called ${hostName} again`);
    } catch (error) {
      if (!(error instanceof NetlinkError || error instanceof SyscallError)) throw error;
      log.warning(`RDMA device ${device.name} (index ${device.index}) keeps its name: ${error.message}`);
    }
  }
}

/**
 * A newer attachment that found a device under the name it had in this pod has recorded that as the host's. It is told
 * the right one, since from now on nobody else knows it.
 */
function handOverNames(node: Node, log: Log, file: string, record: AttachmentRecord): void {
  const renamed = record.devices.filter(({ hostName, podName }) => hostName !== podName);
  if (renamed.length === 0) return;
  for (const { record: newer } of listNewerClaims(node, file, record)) {
    if (!newer.attachment) continue;
    const devices = newer.devices.map((device) => {
      const own = renamed.find(({ index, podName }) => index === device.index && podName === device.hostName);
      return own ? { ...device, hostName: own.hostName } : device;
    });
    if (devices.every((device, i) => device === newer.devices[i])) continue;
    try {
      node.state.save({ ...newer, attachment: newer.attachment, devices });
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      log.warning(`${error.message}; its devices keep the names that ${file} gave them`);
    }
  }
}
