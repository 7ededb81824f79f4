/** The part of an ADD that holds the lock. */
import type { Call } from "./config/config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Netns, RdmaDevice } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { acquireDevices } from "./acquire.ts";
import { recordLimits, setLimits } from "./features/limits.ts";
import { type PlannedDevice, resolveDeviceId } from "./device/device.ts";
import { type DeviceInfoFile, openDeviceInfo } from "./features/device_info.ts";
import { moveToPod, planNames, renameInPod } from "./device/names.ts";
import { isRecorded } from "./record/namespaces.ts";
import type { StoredRecord } from "./record/state.ts";
import { takeLock } from "./record/lock.ts";
import { type Node, requireExclusiveMode } from "./node.ts";
import { getPodLinks, type PodLinks, refuseIpoib, requirePodLinks } from "./features/pod_links.ts";
import { recordQos, setTos, setTrafficClass, withoutMissing } from "./features/qos.ts";
import {
  attachmentOf,
  type AttachmentRecord,
  type OwnRecord,
  podOf,
  type RecordedDevice,
} from "./record/record.ts";
import type { DevicePorts } from "./features/ready.ts";
import { restoreDevices } from "./restore.ts";
import { makeSoftRoceDevice, softRoceId } from "./features/soft_roce.ts";
import { messageOf } from "../sys/errno.ts";

/** An attachment's record, and whether this call made it. */
interface Placed {
  readonly record: AttachmentRecord;
  readonly isNew: boolean;
}

/**
 * Moves the devices of the attachment's function into the pod, and all that goes with it. When anything fails, what was
 * done is undone.
 *
 * The record is written before the first rename or move, so that DEL and GC find everything whenever this process ends.
 * The lock is held no longer than this, since what follows can wait for the link.
 */
export function placeDevices(
  call: Call,
  node: Node,
  pod: Netns,
  template: string | undefined,
  ports: DevicePorts,
): Placed {
  const { environment, config, log } = call;
  const { kernel, state } = node;
  requireExclusiveMode(kernel);
  const links = getPodLinks(call, pod);
  const deviceId = config.softRoce ? softRoceId(call, links) : findFunction(call, node, pod, links);
  using deviceInfo = openDeviceInfo(call, node, deviceId);
  const attachment = attachmentOf(call);
  const file = state.fileOf(attachment);

  state.create();
  using _lock = takeLock(call, node);
  // Of an ADD that no DEL followed.
  const { record: earlier, other, fault } = state.find(attachment);
  if (other) throw belongsToOther(other);
  if (fault) log.warning(`${fault}: it is replaced`);
  if (earlier && isInPlace(earlier, deviceId, pod)) {
    log.info(`Device ${deviceId} is in the pod already`);
    // From now on it is this call's, which the earlier one must not undo.
    let record: OwnRecord = { ...earlier, attachment, bootTimeUs: kernel.getBootTimeUs() };
    if (config.rdmaLimits) {
      record = recordLimits(call, node, record, config.rdmaLimits);
      setLimits(kernel, record, listInPod(record, pod));
    } else state.save(record);
    finish(call, node, record, pod, deviceInfo);
    return { record, isNew: false };
  }
  if (earlier) restoreDevices(node, log, earlier, environment.netns);

  let record = newRecord(call, deviceId, node, pod);
  using rollback = new DisposableStack();
  rollback.defer(() => {
    if (record.devices.length > 0) tryToUndo(call.log, file, () => undo(call, node, { file, ...record }));
  });
  const save = (devices: readonly RecordedDevice[]): void => {
    const next = { ...record, devices };
    state.save(next);
    record = next;
  };
  const acquired = config.softRoce
    ? [makeSoftRoceDevice(call, node, pod, save)]
    : acquireDevices(call, node, file, deviceId, pod);
  const devices = planNames(call, node, pod, acquired, template);
  save(devices.map(({ index, hostName, podName }) => ({ index, hostName, podName })));
  if (config.rdmaQos) {
    const wanted = withoutMissing(config.rdmaQos, kernel, log, record);
    record = recordQos(wanted, node, record);
    setTrafficClass(wanted, kernel, record);
  }
  if (config.rdmaLimits) {
    record = recordLimits(call, node, record, config.rdmaLimits);
    setLimits(kernel, record, devices.map(({ index, hostName: name }) => ({ index, name })));
  }
  for (const { index, hostName: name } of devices.filter(isOnHost)) {
    ports.open(kernel.getHostNetns(), { index, name });
  }
  const names = new Map(devices.map((device) => [device.index, place(call, node, pod, device)]));
  verify(devices.filter(isOnHost), log, pod, links);
  if (devices.some(({ index, podName }) => names.get(index) !== podName)) {
    record = withNames(record, names);
    state.save(record);
  }
  finish(call, node, record, pod, deviceInfo);
  rollback.move();
  return { record, isNew: true };
}

/** The function of the attachment. @throws {CniError} 110 when there is none, 115 when its IPoIB interface is the pod's */
function findFunction(call: Call, { kernel }: Node, pod: Netns, links: PodLinks): string {
  const deviceId = resolveDeviceId(call, kernel, () => links.get(call.environment.ifname));
  // With CNI_NETNS_OVERRIDE the "pod" may be the host, where nothing is moved.
  if (pod.inode !== kernel.getHostNetns().inode) refuseIpoib(links, deviceId, pod);
  return deviceId;
}

function isOnHost({ location }: PlannedDevice): boolean {
  return location === "host";
}

function belongsToOther({ file, attachment: owner }: StoredRecord): CniError {
  return new CniError(
    ErrorCode.invalidConfig,
    `Cannot record attachment ${file}: the file belongs to network ${JSON.stringify(owner?.network)}, ` +
      `container ${JSON.stringify(owner?.containerID)}, interface ${JSON.stringify(owner?.ifname)}`,
    "rename one of the two networks: their file names must differ",
  );
}

/** A record without devices yet. */
function newRecord(call: Call, deviceId: string, { kernel }: Node, pod: Netns): OwnRecord {
  const { path, inode } = pod;
  const cookie = pod.getCookie();
  const kubernetesPod = podOf(call);
  return {
    attachment: attachmentOf(call),
    deviceId,
    devices: [],
    ...(call.config.softRoce ? { softRoce: true } : {}),
    ...(kubernetesPod ? { pod: kubernetesPod } : {}),
    netns: { path, inode, ...(cookie === undefined ? {} : { cookie }) },
    bootId: kernel.getBootId(),
    bootTimeUs: kernel.getBootTimeUs(),
    createdAt: Date.now(),
  };
}

/** The record of devices of which some got another name than planned. */
function withNames(record: OwnRecord, names: ReadonlyMap<number, string>): OwnRecord {
  const devices = record.devices.map((device) => ({ ...device, podName: names.get(device.index!)! }));
  return { ...record, devices };
}

/** Returns whether an earlier ADD did all that this one is to do. */
function isInPlace(earlier: AttachmentRecord, deviceId: string, pod: Netns): boolean {
  if (earlier.deviceId !== deviceId || !earlier.netns || !isRecorded(pod, earlier.netns)) return false;
  return earlier.devices.every(({ index, hostName, podName }) => {
    const device = index === undefined ? undefined : pod.getRdmaDevice(index);
    return device && (podName === hostName || podName === device.name);
  });
}

/** Does what is left when the devices are in the pod. */
function finish(
  { config }: Call,
  { kernel }: Node,
  record: AttachmentRecord,
  pod: Netns,
  deviceInfo: DeviceInfoFile | undefined,
): void {
  if (!config.rdmaQos && !deviceInfo) return;
  const inPod = listInPod(record, pod);
  if (config.rdmaQos) setTos(config.rdmaQos, kernel, pod, record.devices);
  deviceInfo?.write(inPod.map(({ name }) => name));
}

function listInPod({ devices }: AttachmentRecord, pod: Netns): RdmaDevice[] {
  return devices.flatMap(({ index }) => pod.getRdmaDevice(index!) ?? []);
}

/** Puts a device into the pod, under the name planned for it if it can be had. @returns the name it got */
function place(call: Call, node: Node, pod: Netns, device: PlannedDevice): string {
  const { index, hostName } = device;
  const name = isOnHost(device) ? moveToPod(call, node, pod, device) : renameInPod(call, node, pod, device);
  const moved = isOnHost(device) ? ` moved to ${pod.path}` : "";
  const renamed = name === hostName ? "" : ` is called ${name} from now on`;
  if (moved || renamed) {
    call.log.info(
      `RDMA device ${hostName} (index ${index})${[moved, renamed].filter((part) => part).join(" and")}`,
    );
  }
  return name;
}

/** Makes sure that the devices that were moved are in the pod, and that the pod still has its interfaces. */
function verify(devices: readonly PlannedDevice[], log: Log, pod: Netns, links: PodLinks): void {
  for (const { index, hostName, uverbs } of devices) {
    const after = pod.getUverbs(index);
    if (after === undefined && !pod.getRdmaDevice(index)) throw vanished(hostName, pod);
    if (after !== uverbs) log[uverbs ? "warning" : "info"](explainUverbs(hostName, uverbs, after));
  }
  if (devices.length > 0) requirePodLinks(links, pod);
}

/** Without module ib_uverbs there are none, until one is asked for: then the kernel loads it (nldev.c, ib_get_client_nl_info). */
function explainUverbs(name: string, before: string | undefined, after: string | undefined): string {
  const now = after ? `/dev/infiniband/${after}` : "none";
  if (!before) return `RDMA device ${name} had no uverbs device when it was moved and has ${now} now`;
  return `RDMA device ${name} had /dev/infiniband/${before} and has ${now} since it was moved: ` +
    "if the device plugin gave the pod the former, the pod cannot open its device";
}

function vanished(name: string, pod: Netns): CniError {
  return new CniError(
    ErrorCode.deviceMissing,
    `Cannot find RDMA device ${JSON.stringify(name)} in network namespace ${JSON.stringify(pod.path)} ` +
      "after the kernel moved it there",
    "its driver was rebound meanwhile, or another program moved it: try again",
  );
}

/** Restores the devices of a record that an ADD made, and removes it. */
export function undo({ environment, log }: Call, node: Node, record: StoredRecord): void {
  if (restoreDevices(node, log, record, environment.netns)) node.state.remove(record.file);
}

/** Does what an ADD that fails does last. A failure is only logged: DEL tries again. */
export function tryToUndo(log: Log, file: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    log.error(`Rolling back failed, the record ${file} stays for DEL: ${messageOf(error)}`);
  }
}
