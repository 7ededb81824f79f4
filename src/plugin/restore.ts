import type { Call } from "./config/config.ts";
import { CniError } from "../cni/error.ts";
import type { BusDevice, Kernel, Netns, RdmaDevice } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { NetlinkError } from "../netlink/error.ts";
import { EPROTONOSUPPORT, messageOf, SyscallError } from "../sys/errno.ts";
import { findNewerClaim, isAlive, listClaims, listNewerClaims } from "./record/claims.ts";
import { areAllOnHost, countAway, listDevicesIn, mayBelongTo } from "./device/device.ts";
import { removeLimits } from "./features/limits.ts";
import { isDeviceName } from "./device/names.ts";
import { KERNEL_NAME, moveUnderFreeName, refuseSubDevices, renameToFreeName } from "./device/move.ts";
import { openByPath, openIfThere, searchNetns } from "./record/namespaces.ts";
import { KERNEL_TIMEOUT_MS, type Node, poll } from "./node.ts";
import { isIpoibOf } from "./features/pod_links.ts";
import { restoreQos } from "./features/qos.ts";
import { type AttachmentRecord, getRecordedDevice, type RecordedDevice } from "./record/record.ts";
import { isSoftRoceAway, removeSoftRoceDevice, removeSoftRoceFromHost } from "./features/soft_roce.ts";
import type { StoredRecord } from "./record/state.ts";

/**
 * Restores the devices of a recorded attachment to the host namespace, under their names there. Devices that
 * are on the host already, or gone, or that a newer attachment owns, are left alone.
 *
 * A device that is in some other namespace, or that the kernel has not given back after some seconds, is out of reach.
 * The runtime cannot help that, and a DEL that fails keeps the pod, and the plugins before this one in the chain, from
 * being cleaned up. So nothing is thrown, but the record must stay, for the next DEL, ADD or GC that finds the device.
 *
 * @param netnsPath CNI_NETNS; empty when the runtime does not say
 * @returns whether nothing is left to do, so that the record can be removed
 * @throws {CniError} code 120 when a device is there but cannot be moved, or a limit cannot be taken away
 */
export function restoreDevices(
  node: Node,
  log: Log,
  record: StoredRecord,
  netnsPath: string,
): boolean {
  const { kernel } = node;
  if (isFromEarlierBoot(kernel, log, record)) return true;
  removeLimits(node, log, record);
  if (!canBeAway(kernel, log)) return true;
  if (record.softRoce) {
    removeSoftRoceDevice(node, log, record, netnsPath);
    return true;
  }
  handOverNames(node, log, record);
  using byPath = openByPath(kernel, log, record, netnsPath);
  const owner = findOwner(node, record, byPath);
  if (owner) return leaveToOwner(node, log, record, owner);

  using netns = byPath ?? searchNetns(kernel, log, record);
  if (netns) fetchDevices(kernel, log, netns, record.deviceId, record.devices);
  const { onHost, away } = awaitReturn(node, record);
  restoreNames(node, log, record, onHost);
  restoreQos(node, log, record);
  if (away.length === 0) return true;
  log.warning(
    `RDMA device ${
      away.map(describeDevice).join(", ")
    } of ${record.deviceId} is not in the host namespace, nor in ` +
      `its pod's: record ${record.file} stays until it is back and DEL or GC is called again`,
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
  const { kernel } = node;
  if (isFromEarlierBoot(kernel, log, record)) return true;
  const isExclusive = canBeAway(kernel, log);
  const owner = isExclusive ? findOwner(node, record, undefined) : undefined;
  if (isExclusive && !owner && isAwayFromHost(node, record)) return false;
  removeLimits(node, log, record);
  if (!isExclusive) return true;
  if (record.softRoce) {
    removeSoftRoceFromHost(node, log, record);
    return true;
  }
  handOverNames(node, log, record);
  if (owner) return leaveToOwner(node, log, record, owner);
  restoreNames(node, log, record, locate(kernel, record).onHost);
  restoreQos(node, log, record);
  return true;
}

function isAwayFromHost({ kernel }: Node, record: StoredRecord): boolean {
  return record.softRoce ? isSoftRoceAway(kernel, record) : locate(kernel, record).away.length > 0;
}

/** After a boot all devices are on the host, and cgroups are new. */
function isFromEarlierBoot(kernel: Kernel, log: Log, { file, bootId }: StoredRecord): boolean {
  if (bootId === undefined || bootId === kernel.getBootId()) return false;
  log.info(`Record ${file} is from before the last boot: its devices are on the host`);
  return true;
}

function leaveToOwner(node: Node, log: Log, record: StoredRecord, owner: StoredRecord): true {
  log.info(`Device ${record.deviceId} belongs to ${owner.file} by now: not touched`);
  restoreQos(node, log, record);
  return true;
}

/** The attachment that may have the devices in place of a recorded one whose namespace is not certain. */
function findOwner(
  node: Node,
  record: StoredRecord,
  byPath: Netns | undefined,
): StoredRecord | undefined {
  if (byPath) return record.netns ? undefined : findNewerClaim(node, record);
  // Where neither record nor runtime names the namespace, every other record may be of the pod that has the devices.
  return record.netns ? findNewerClaim(node, record) : listClaims(node, record.file, record.deviceId)[0];
}

function describeDevice({ index, podName }: RecordedDevice): string {
  return index === undefined ? podName : `${podName} (index ${index})`;
}

/**
 * Restores what a namespace has of a function when there is no record of what was moved. A device whose IPoIB
 * interface is the pod's is left there: ib-sriov-cni moved both, and restores them after the interface was released.
 *
 * @throws {CniError} code 120 when a device is there but cannot be moved
 */
export function restoreUnrecorded(
  { environment, log }: Call,
  node: Node,
  file: string,
  deviceId: string,
  netnsPath: string,
): void {
  const { kernel } = node;
  if (!canBeAway(kernel, log)) return;
  const owner = listClaims(node, file, deviceId).find((claim) => !claim.netns || isAlive(kernel, claim));
  if (owner) return log.info(`Device ${deviceId} belongs to ${owner.file}: not touched`);
  using netns = openIfThere(kernel, netnsPath);
  if (!netns) return;
  const link = netns.getLink(environment.ifname);
  if (link && isIpoibOf(link, deviceId)) {
    return log.info(`Interface ${environment.ifname} is IPoIB on device ${deviceId}: not touched`);
  }
  fetchDevices(kernel, log, netns, deviceId, []);
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

/** Moves to the host what a namespace has of the recorded devices, and others of the function that are there. */
function fetchDevices(
  kernel: Kernel,
  log: Log,
  netns: Netns,
  deviceId: string,
  recorded: readonly RecordedDevice[],
): void {
  if (netns.inode === kernel.getHostNetns().inode) return;
  const bus = kernel.getBusDevice(deviceId);
  const listed = netns.listRdmaDevices();
  // The kernel lists one after the other and counts them: one that leaves meanwhile can hide the next (nldev.c,
  // nldev_get_dumpit), so each recorded device is asked for.
  const devices = recorded.flatMap((device) => getRecordedDevice(netns, device) ?? [])
    .filter((device) => mayBelongTo(kernel, deviceId, netns, device, bus));
  if (bus && countAway(bus) > devices.length) {
    const isKnown = ({ index }: RdmaDevice) => devices.some((device) => device.index === index);
    devices.push(...listDevicesIn(netns, bus, listed).filter((device) => !isKnown(device)));
  }
  refuseSubDevices(devices, [...listed, ...listSubDevicesOnHost(kernel, bus)]);
  for (const device of devices) {
    const what = `RDMA device ${device.name} (index ${device.index})`;
    try {
      const hostName = hostNameOf(device, recorded);
      const name = moveUnderFreeName(kernel, device, netns, kernel.getHostNetns(), hostName);
      log.info(`${what} restored to the host from ${netns.path} as ${name}`);
    } catch (error) {
      if (netns.getRdmaDevice(device.index)) throw error;
      log.info(`${what} left ${netns.path} by itself: ${messageOf(error)}`);
    }
  }
}

/** The name that a device had on the host, if it is recorded and one that a device can have. */
function hostNameOf({ index, name }: RdmaDevice, recorded: readonly RecordedDevice[]): string {
  const { hostName = "" } = recorded.find((device) => device.index === index || device.podName === name) ??
    {};
  return isDeviceName(hostName) ? hostName : name;
}

/** A new sub-device appears in the host's namespace, wherever its parent is. */
function listSubDevicesOnHost(kernel: Kernel, bus: BusDevice | undefined): RdmaDevice[] {
  if (!bus || bus.rdmaDevices.length === 0) return [];
  const isOfFunction = ({ name }: RdmaDevice) => bus.rdmaDevices.includes(name);
  return kernel.getHostNetns().listRdmaDevices().filter((device) =>
    device.parent !== undefined && isOfFunction(device)
  );
}

/** Where the devices of a record are. */
interface Whereabouts {
  /** In the host namespace, in the record's order. */
  readonly onHost: readonly (RdmaDevice | undefined)[];
  /** In another namespace, or on their way. */
  readonly away: readonly RecordedDevice[];
}

/** Waits some seconds for devices that a dying namespace still has, unless a newer attachment owns them by now. */
function awaitReturn(node: Node, record: StoredRecord): Whereabouts {
  let found = locate(node.kernel, record);
  if (found.away.length === 0) return found;
  if (findNewerClaim(node, record)) return { ...found, away: [] };
  poll(node.kernel, KERNEL_TIMEOUT_MS, () => {
    found = locate(node.kernel, record);
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
 * A device may have another name on the host: the pod or udev renamed it, or its namespace ended. It gets its old one
 * back; where that is taken, a name that its pod or the kernel gave it is replaced by a free one.
 */
function restoreNames(
  node: Node,
  log: Log,
  record: StoredRecord,
  onHost: Whereabouts["onHost"],
): void {
  const hostNetns = node.kernel.getHostNetns();
  for (const [at, recorded] of record.devices.entries()) {
    const { index, podName, hostName } = recorded;
    const device = index === undefined && podName !== hostName
      ? getRecordedDevice(hostNetns, recorded)
      : onHost[at];
    if (!device || !hostName || device.name === hostName || findNewerClaim(node, record)) continue;
    if (!mayBelongTo(node.kernel, record.deviceId, hostNetns, device)) continue;
    const what = `RDMA device ${device.name} (index ${device.index})`;
    const isMisnamed = device.name === podName || KERNEL_NAME.test(device.name);
    try {
      const name = isMisnamed ? renameToFreeName(hostNetns, device, hostName) : hostName;
      if (!isMisnamed) hostNetns.renameRdmaDevice(device.index, hostName);
      log.info(`${what} is called ${name}${name === hostName ? " again" : `: ${hostName} is taken`}`);
    } catch (error) {
      if (!(error instanceof NetlinkError || error instanceof SyscallError)) throw error;
      log.warning(`${what} keeps its name: ${error.message}`);
    }
  }
}

/**
 * A newer attachment that found a device under the name it had in this pod has recorded that as the host's. It is told
 * the right one, since from now on nobody else knows it.
 */
function handOverNames(node: Node, log: Log, record: StoredRecord): void {
  const renamed = record.devices.filter(({ hostName, podName }) => hostName !== podName);
  if (renamed.length === 0) return;
  for (const newer of listNewerClaims(node, record)) {
    if (!newer.attachment) continue;
    const devices = newer.devices.map((device) => {
      const own = renamed.find(({ index, podName }) =>
        index === device.index && (podName === device.hostName || KERNEL_NAME.test(device.hostName))
      );
      return own ? { ...device, hostName: own.hostName } : device;
    });
    if (devices.every((device, i) => device === newer.devices[i])) continue;
    try {
      node.state.save({ ...newer, attachment: newer.attachment, devices });
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      log.warning(`${error.message}; its devices keep the names that ${record.file} gave them`);
    }
  }
}
