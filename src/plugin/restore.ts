import type { Call } from "./config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { BusDevice, Kernel, Netns, RdmaDevice } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { NetlinkError } from "../netlink/error.ts";
import { EPROTONOSUPPORT, SyscallError } from "../sys/errno.ts";
import { type Claim, findNewerClaim, isAlive, listClaims, listNewerClaims } from "./claims.ts";
import { areAllOnHost, countAway, listDevicesIn } from "./device.ts";
import { moveDevice, refuseSubDevices } from "./move.ts";
import { openByPath, openIfThere, searchNetns } from "./namespaces.ts";
import { KERNEL_TIMEOUT_MS, type Node, poll } from "./node.ts";
import { isIpoibOf } from "./pod_links.ts";
import { restoreQos } from "./qos.ts";
import type { AttachmentRecord, RecordedDevice } from "./record.ts";

/**
 * Brings the devices of a recorded attachment to the host's namespace and gives them their names back. Devices that
 * are on the host already, or gone, or that a newer attachment owns, are left alone.
 *
 * A device that is in some other namespace, or that the kernel has not given back after some seconds, is out of reach.
 * The runtime cannot help that, and a DEL that fails keeps the pod, and the plugins before this one in the chain, from
 * being cleaned up. So nothing is thrown, but the record must stay, for the next DEL, ADD or GC that finds the device.
 *
 * @param netnsPath CNI_NETNS; empty when the runtime does not say
 * @returns whether nothing is left to do, so that the record can be removed
 * @throws {CniError} code 120 when a device is there but cannot be moved
 */
export function restoreDevices(
  node: Node,
  log: Log,
  file: string,
  record: AttachmentRecord,
  netnsPath: string,
): boolean {
  const { kernel } = node;
  if (!canBeAway(kernel, log)) return true;
  if (record.bootId !== undefined && record.bootId !== kernel.getBootId()) {
    log.info(`Record ${file} is from before the last boot: its devices are on the host`);
    return true;
  }
  handOverNames(node, log, file, record);
  using byPath = openByPath(kernel, log, record, netnsPath);
  const owner = findOwner(node, file, record, byPath);
  if (owner) {
    log.info(`Device ${record.deviceId} belongs to ${owner.file} by now: not touched`);
    restoreQos(node, log, file, record);
    return true;
  }

  using netns = byPath ?? searchNetns(kernel, log, record);
  if (netns) fetchDevices(kernel, log, record, netns);
  const { onHost, away } = awaitReturn(node, file, record);
  restoreNames(node, log, file, record, onHost);
  restoreQos(node, log, file, record);
  if (away.length === 0) return true;
  log.warning(
    `RDMA device ${
      away.map(describeDevice).join(", ")
    } of ${record.deviceId} is not in the host namespace, nor in ` +
      `its pod's: record ${file} stays until it is back and DEL or GC is called again`,
  );
  return false;
}

/** The attachment that may have the devices in place of a recorded one whose namespace is not certain. */
function findOwner(
  node: Node,
  file: string,
  record: AttachmentRecord,
  byPath: Netns | undefined,
): Claim | undefined {
  if (byPath) return record.netns ? undefined : findNewerClaim(node, file, record);
  // Where neither record nor runtime names the namespace, every other record may be of the pod that has the devices.
  return record.netns ? findNewerClaim(node, file, record) : listClaims(node, file, record.deviceId)[0];
}

function describeDevice({ index, podName }: RecordedDevice): string {
  return index === undefined ? podName : `${podName} (index ${index})`;
}

/**
 * Restores what a namespace has of a function, when no record tells which devices were moved. A device whose IPoIB
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
  const owner = listClaims(node, file, deviceId).find((claim) =>
    !claim.record.netns || isAlive(kernel, claim)
  );
  if (owner) return log.info(`Device ${deviceId} belongs to ${owner.file}: not touched`);
  using netns = openIfThere(kernel, netnsPath);
  if (!netns) return;
  const link = netns.getLink(environment.ifname);
  if (link && isIpoibOf(link, deviceId)) {
    return log.info(`Interface ${environment.ifname} is IPoIB on device ${deviceId}: not touched`);
  }
  fetchDevices(kernel, log, { deviceId, devices: [], createdAt: 0 }, netns);
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

/** Moves what a namespace has of a record's devices, and others of the function that are there. */
function fetchDevices(kernel: Kernel, log: Log, record: AttachmentRecord, netns: Netns): void {
  if (netns.inode === kernel.getHostNetns().inode) return;
  const bus = kernel.getBusDevice(record.deviceId);
  const present = listPresent(netns, record);
  const recorded = present.filter((device) => record.devices.some((one) => isSame(one, device)));
  const others = bus && countAway(bus) > recorded.length ? listDevicesIn(netns, bus, present) : [];
  const devices = present.filter((device) => recorded.includes(device) || others.includes(device));
  refuseSubDevices(devices, [...present, ...listSubDevicesOnHost(kernel, bus)]);
  for (const device of devices) {
    const what = `RDMA device ${device.name} (index ${device.index})`;
    try {
      moveToHost(kernel, device, netns);
      log.info(`${what} restored to the host from ${netns.path}`);
    } catch (error) {
      if (netns.getRdmaDevice(device.index)) throw error;
      log.info(`${what} left ${netns.path} by itself: ${(error as Error).message}`);
    }
  }
}

/**
 * The RDMA devices of a namespace. The kernel lists one after the other and counts them: one that leaves meanwhile can hide
 * the next (nldev.c, nldev_get_dumpit), so recorded ones that the list lacks are asked for.
 */
function listPresent(netns: Netns, { devices }: AttachmentRecord): RdmaDevice[] {
  const listed = netns.listRdmaDevices();
  const missed = devices.flatMap(({ index }) => {
    if (index === undefined || listed.some((device) => device.index === index)) return [];
    return netns.getRdmaDevice(index) ?? [];
  });
  return [...listed, ...missed];
}

/**
 * A kernel that keeps the names of each namespace apart may have another device of that name on the host. It gives a device
 * of a namespace that ends another one then, and so does this.
 */
function moveToHost(kernel: Kernel, device: RdmaDevice, netns: Netns): void {
  try {
    moveDevice(kernel, device, netns, kernel.getHostNetns());
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== ErrorCode.nameTaken) throw error;
    netns.renameRdmaDevice(device.index, `ibdev${device.index}`);
    moveDevice(kernel, device, netns, kernel.getHostNetns());
  }
}

/** A new sub-device appears in the host's namespace, wherever its parent is. */
function listSubDevicesOnHost(kernel: Kernel, bus: BusDevice | undefined): RdmaDevice[] {
  if (!bus || bus.rdmaDevices.length === 0) return [];
  return kernel.getHostNetns().listRdmaDevices().filter(({ parent }) => parent !== undefined);
}

/** By index, which a device keeps on all its moves; by name in records that have no index. */
function isSame({ index, podName }: RecordedDevice, device: RdmaDevice): boolean {
  return index === undefined ? podName === device.name : index === device.index;
}

/** Where the devices of a record are. */
interface Whereabouts {
  /** In the host namespace, in the record's order. */
  readonly onHost: readonly (RdmaDevice | undefined)[];
  /** In another namespace, or on their way. */
  readonly away: readonly RecordedDevice[];
}

/** Waits some seconds for devices that a dying namespace still has, unless a newer attachment owns them by now. */
function awaitReturn(node: Node, file: string, record: AttachmentRecord): Whereabouts {
  let found = locate(node.kernel, record);
  if (found.away.length === 0) return found;
  if (findNewerClaim(node, file, record)) return { ...found, away: [] };
  poll(node.kernel, KERNEL_TIMEOUT_MS, () => {
    found = locate(node.kernel, record);
    return found.away.length === 0 || undefined;
  });
  return found;
}

/**
 * A device is in the host namespace if the kernel finds it there by its index; sysfs shows it late. An index that is not
 * there is away, unless all devices that the function has are there: then the driver was bound anew, or unbound, and the
 * index has gone for good.
 */
function locate(kernel: Kernel, { deviceId, devices }: AttachmentRecord): Whereabouts {
  const onHost = devices.map(({ index }) =>
    index === undefined ? undefined : kernel.getHostNetns().getRdmaDevice(index)
  );
  const away = devices.filter((_, at) => !onHost[at]);
  return { onHost, away: away.length > 0 && areAllOnHost(kernel, deviceId) ? [] : away };
}

/** A device may have another name: the pod or udev renamed it. It gets its old one back unless that is taken. */
function restoreNames(
  node: Node,
  log: Log,
  file: string,
  record: AttachmentRecord,
  onHost: Whereabouts["onHost"],
): void {
  const hostNetns = node.kernel.getHostNetns();
  for (const [at, { index, podName, hostName }] of record.devices.entries()) {
    const device = index === undefined && podName !== hostName
      ? hostNetns.listRdmaDevices().find(({ name }) => name === podName)
      : onHost[at];
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
