import { CniError } from "../cni/error.ts";
import { type Kernel, NetlinkError, type Netns, type RdmaDevice } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { SyscallError } from "../sys/errno.ts";
import { areAllOnHost, countAway, listDevicesIn, mayBelongTo } from "./device/device.ts";
import { KERNEL_NAME, renameToFreeName } from "./device/move.ts";
import { removeLimits } from "./features/limits.ts";
import { restoreQos } from "./features/qos.ts";
import { isSoftRoceAway, removeSoftRoceDevice } from "./features/soft_roce.ts";
import { canBeAway, fetchDevices } from "./fetch.ts";
import { KERNEL_TIMEOUT_MS, type Node, poll } from "./node.ts";
import { Claims } from "./record/claims.ts";
import { isRecorded, keepIf, openByPath, openIfThere } from "./record/namespaces.ts";
import type { AttachmentRecord, RecordedDevice } from "./record/record.ts";
import type { StoredRecord } from "./record/state.ts";

/**
 * Restores the devices of a recorded attachment to the host namespace, under their names there. Devices that
 * are on the host already, or gone, or that a newer attachment owns, are left alone.
 *
 * For a device that is out of reach, in some other namespace or on its way for too long, nothing is thrown: a DEL that
 * fails keeps the pod, and the plugins before this one in the chain, from being cleaned up. But the record must stay,
 * for the next DEL, ADD or GC that finds the device.
 *
 * @param netnsPath CNI_NETNS; empty when the runtime does not say, undefined when no device may be moved
 * @returns whether nothing is left to do, so that the record can be removed
 * @throws {CniError} code 120 when a device is there but cannot be moved, or a limit cannot be taken away
 */
export function restoreDevices(
  node: Node,
  log: Log,
  record: StoredRecord,
  netnsPath: string | undefined,
): boolean {
  const { kernel } = node;
  if (isFromEarlierBoot(kernel, record)) {
    log.info(`Record ${record.file} is from before the last boot: its devices are on the host`);
    return true;
  }
  const isDone = !canBeAway(kernel, log) || restoreAll(node, log, record, netnsPath);
  // Last, so that devices are restored also when this fails.
  removeLimits(node, log, record);
  return isDone;
}

function restoreAll(node: Node, log: Log, record: StoredRecord, netnsPath: string | undefined): boolean {
  const { kernel } = node;
  const { file, deviceId, devices } = record;
  const mayMove = netnsPath !== undefined;
  const claims = new Claims(node, record);
  using byPath = mayMove ? openByPath(kernel, log, record, netnsPath) : undefined;
  const owner = findOwner(record, claims, byPath);
  using netns = byPath ?? (mayMove && !owner ? searchNetns(kernel, log, record) : undefined);
  if (record.softRoce) {
    removeSoftRoceDevice(kernel, log, record, netns);
    return true;
  }
  handOver(node, log, record, claims);
  if (owner) log.info(`Device ${deviceId} belongs to ${owner.file} by now: not touched`);
  else if (netns) fetchDevices(kernel, log, netns, deviceId, devices);

  const { onHost, away } = awaitReturn(kernel, record, () => owner !== undefined || claims.newer.length > 0);
  for (const [at, device] of devices.entries()) {
    restoreSettings(kernel, log, deviceId, device, onHost[at], { owner, claims });
  }
  if (away.length === 0) return true;
  const names = away.map(({ index, podName }) =>
    index === undefined ? podName : `${podName} (index ${index})`
  );
  log.warning(
    `RDMA device ${names.join(", ")} of ${deviceId} is not in the host namespace, nor in its pod's: record ` +
      `${file} stays until it is back and DEL or GC is called again`,
  );
  return false;
}

/**
 * Does what {@linkcode restoreDevices} does with devices that are on the host, and moves none: for callers without the
 * runtime's word that the pod has ended. The kernel returns devices when a namespace ends, so one that is away is in a
 * namespace that lives, and may be used there; then nothing is done.
 *
 * @returns whether nothing is left to do, so that the record can be removed
 * @throws {CniError} code 120 when a limit or a Soft-RoCE device cannot be removed
 */
export function restoreOnHost(node: Node, log: Log, record: StoredRecord): boolean {
  return !isOneAway(node, log, record) && restoreDevices(node, log, record, undefined);
}

function isOneAway(node: Node, log: Log, record: StoredRecord): boolean {
  const { kernel } = node;
  if (isFromEarlierBoot(kernel, record) || !canBeAway(kernel, log)) return false;
  if (record.softRoce) return isSoftRoceAway(kernel, record);
  return !findOwner(record, new Claims(node, record)) && locate(kernel, record).away.length > 0;
}

/** After a boot all devices are on the host, and cgroups are new. */
function isFromEarlierBoot(kernel: Kernel, { bootId }: StoredRecord): boolean {
  return bootId !== undefined && bootId !== kernel.getBootId();
}

/** Returns the attachment that may have the devices in place of a recorded one whose namespace is not certain. */
function findOwner(record: StoredRecord, claims: Claims, byPath?: Netns): StoredRecord | undefined {
  if (record.softRoce || byPath && record.netns) return undefined;
  // Where neither record nor runtime names the namespace, every other record may be of the pod that has the devices.
  return byPath || record.netns ? claims.newer[0] : claims.all[0];
}

/** A process or an open file can keep a namespace alive, and the devices in it, after its path has gone. */
function searchNetns(kernel: Kernel, log: Log, record: StoredRecord): Netns | undefined {
  const { netns: recorded } = record;
  const bus = kernel.getBusDevice(record.deviceId);
  if (!record.softRoce && !(bus && countAway(bus) > 0)) return undefined;
  const known = new Set([kernel.getHostNetns().inode]);
  for (const { path, inode } of kernel.listNetns()) {
    if (known.has(inode) || recorded && inode !== recorded.inode) continue;
    const netns = openIfThere(kernel, path);
    if (!netns) continue;
    const isOfRecord = () =>
      recorded ? isRecorded(netns, recorded) : bus !== undefined && listDevicesIn(netns, bus).length > 0;
    if (keepIf(netns, isOfRecord)) {
      log.info(`Network namespace ${inode} has lost its path but lives on as ${path}`);
      return netns;
    }
    known.add(netns.inode);
  }
  return undefined;
}

/** The places of a record's devices. */
interface Whereabouts {
  /** In the host namespace, in the record's order. */
  readonly onHost: readonly (RdmaDevice | undefined)[];
  /** In another namespace, or on their way. */
  readonly away: readonly RecordedDevice[];
}

/** Waits some seconds for devices that a dying namespace still has, unless another attachment owns them by now. */
function awaitReturn(kernel: Kernel, record: StoredRecord, isAnothers: () => boolean): Whereabouts {
  let found = locate(kernel, record);
  if (found.away.length === 0) return found;
  if (isAnothers()) return { ...found, away: [] };
  poll(kernel, KERNEL_TIMEOUT_MS, () => {
    found = locate(kernel, record);
    return found.away.length === 0 || undefined;
  });
  return found;
}

/**
 * A device is in the host namespace if the kernel finds it there by its index; sysfs shows it late. An index that is not
 * there is away, unless all devices that the function has are there: then the driver was rebound, or unbound, and the
 * index has gone for good. A device can arrive between these two questions, so then the first is asked again.
 */
function locate(kernel: Kernel, { deviceId, devices }: AttachmentRecord): Whereabouts {
  const find = () =>
    devices.map(({ index }) => index === undefined ? undefined : kernel.getHostNetns().getRdmaDevice(index));
  const onHost = find();
  const away = devices.filter((_, at) => !onHost[at]);
  if (away.length === 0 || !areAllOnHost(kernel, deviceId)) return { onHost, away };
  return { onHost: find(), away: [] };
}

/**
 * Gives a device that is on the host its name and its QoS back, unless another attachment has it: its DEL is to do that.
 *
 * @param onHost the device by its recorded index; a record of version 1.0 has names alone
 */
function restoreSettings(
  kernel: Kernel,
  log: Log,
  deviceId: string,
  recorded: RecordedDevice,
  onHost: RdmaDevice | undefined,
  { owner, claims }: { readonly owner: StoredRecord | undefined; readonly claims: Claims },
): void {
  const { index, hostName, podName, qos } = recorded;
  const hostNetns = kernel.getHostNetns();
  const found = index === undefined
    ? hostNetns.listRdmaDevices().filter(({ name }) => name === podName || name === hostName)
    : onHost
    ? [onHost]
    : [];
  const isNamed = ({ name }: RdmaDevice) => hostName === "" || name === hostName;
  if (!qos && found.every(isNamed)) return;
  if (claims.newer.some(({ devices }) => devices.some((device) => device.index === index))) return;
  const device = found.find((one) => mayBelongTo(kernel, deviceId, hostNetns, one));
  const mayRename = device && !isNamed(device) && !owner && claims.newer.length === 0;
  const name = mayRename ? restoreName(log, hostNetns, device, recorded) : device?.name;
  if (qos) restoreQos(kernel, log, recorded, device && name ? { ...device, name } : undefined);
}

/**
 * A device may have another name on the host: the pod or udev renamed it, or its namespace ended. It gets its old one
 * back; where that is taken, a name that its pod or the kernel gave it is replaced by a free one.
 *
 * @returns the name that it has then
 */
function restoreName(
  log: Log,
  hostNetns: Netns,
  device: RdmaDevice,
  { podName, hostName }: RecordedDevice,
): string {
  const what = `RDMA device ${device.name} (index ${device.index})`;
  const isMisnamed = device.name === podName || KERNEL_NAME.test(device.name);
  try {
    const name = isMisnamed ? renameToFreeName(hostNetns, device, hostName) : hostName;
    if (!isMisnamed) hostNetns.renameRdmaDevice(device.index, hostName);
    log.info(`${what} is called ${name}${name === hostName ? " again" : `: ${hostName} is taken`}`);
    return name;
  } catch (error) {
    if (!(error instanceof NetlinkError || error instanceof SyscallError)) throw error;
    log.warning(`${what} keeps its name: ${error.message}`);
    return device.name;
  }
}

/**
 * Completes the records of newer attachments. One that found a device as this pod had left it has recorded the name, or
 * the QoS, of this pod as the host's. It gets what this record has, since from now on nobody else knows it.
 */
function handOver({ state }: Node, log: Log, record: StoredRecord, claims: Claims): void {
  if (record.devices.every(({ hostName, podName, qos }) => hostName === podName && !qos)) return;
  for (const { attachment, ...newer } of claims.newer) {
    if (!attachment) continue;
    const devices = newer.devices.map((device) => inherit(device, record.devices));
    if (devices.every((device, at) => device === newer.devices[at])) continue;
    try {
      state.save({ ...newer, attachment, devices });
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      log.warning(`${error.message}; its devices keep the names that ${record.file} gave them, and the QoS`);
    }
  }
}

/** Returns a device of a newer record with what an earlier one has of it. */
function inherit(device: RecordedDevice, earlier: readonly RecordedDevice[]): RecordedDevice {
  const own = earlier.find(({ index }) => index === device.index);
  if (!own) return device;
  const { hostName, podName, qos } = own;
  const isOfPod = hostName !== podName && (podName === device.hostName || KERNEL_NAME.test(device.hostName));
  if (!isOfPod && !qos) return device;
  return { ...device, ...(isOfPod ? { hostName } : {}), ...(qos ? { qos: { ...device.qos, ...qos } } : {}) };
}
