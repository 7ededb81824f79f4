import type { Call } from "./config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { formatResult } from "../cni/result.ts";
import type { Netns, RdmaDevice } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { acquireDevices, selectDevices } from "./acquire.ts";
import { type FunctionDevice, resolveDeviceId } from "./device.ts";
import { type DeviceInfoFile, openDeviceInfo } from "./device_info.ts";
import { mayGoWithout } from "./errors.ts";
import { moveDevice } from "./move.ts";
import { choosePodNames, giveNames, type NamedDevice, readNameTemplate } from "./names.ts";
import { isRecorded } from "./namespaces.ts";
import { type Node, requireExclusiveMode, takeLock } from "./node.ts";
import { getPodLinks, type PodLinks, refuseIpoib, requirePodLinks } from "./pod_links.ts";
import { recordQos, setTos, setTrafficClass } from "./qos.ts";
import {
  type Attachment,
  attachmentOf,
  type AttachmentRecord,
  isRecordOf,
  type OwnRecord,
  UnreadableRecord,
} from "./record.ts";
import { restoreDevices } from "./restore.ts";
import { messageOf } from "../sys/errno.ts";

/**
 * Moves the RDMA devices of the attachment's function into the pod's namespace and prints the result it was given.
 * Where the configuration allows it, a pod that can get none goes without.
 *
 * @throws {CniError}
 */
export function add(call: Call, print: (result: string) => void, node: Node): void {
  const { environment, config, log } = call;
  const result = formatResult(config);
  const template = readNameTemplate(call);
  using pod = node.kernel.openNetns(environment.netns);
  try {
    attach(call, () => print(result), node, pod, template);
  } catch (error) {
    if (!mayGoWithout(error, config)) throw error;
    log.warning(`The pod goes without an RDMA device of its own: ${(error as Error).message}`);
    print(result);
  }
}

/**
 * The record is written before the first rename or move, so that DEL and GC find everything whenever this process ends;
 * when anything fails, printing included, the devices are restored to the host again.
 */
function attach(call: Call, print: () => void, node: Node, pod: Netns, template: string | undefined): void {
  const { environment, config, log } = call;
  const { kernel, state } = node;
  requireExclusiveMode(kernel);
  const links = getPodLinks(call, pod);
  const deviceId = resolveDeviceId(call, kernel, () => links.get(environment.ifname));
  // With CNI_NETNS_OVERRIDE the "pod" may be the host, where nothing is moved.
  if (pod.inode !== kernel.getHostNetns().inode) refuseIpoib(links, deviceId, pod);
  using deviceInfo = openDeviceInfo(call, node, deviceId);
  const attachment = attachmentOf(call);
  const file = state.fileOf(attachment);

  state.create();
  using _lock = takeLock(kernel, state.directory);
  const earlier = loadEarlier(call, node);
  if (earlier && isInPlace(earlier, deviceId, pod)) {
    log.info(`Device ${deviceId} is in the pod already`);
    finish(call, node, earlier, pod, deviceInfo);
    return print();
  }
  if (earlier) restoreDevices(node, log, file, earlier, environment.netns);

  const acquired = acquireDevices(call, node, file, deviceId, pod);
  const selected = selectDevices(acquired, config.rdmaDevices, deviceId);
  const { onHost, inPod } = choosePodNames(call, node, pod, selected, template);
  let record = newRecord(attachment, deviceId, [...inPod, ...onHost], node, pod);
  state.save(record);
  using rollback = new DisposableStack();
  rollback.defer(() => undo(call, node, file, record));
  if (config.rdmaQos) {
    record = recordQos(config.rdmaQos, node, record);
    setTrafficClass(config.rdmaQos, kernel, record);
  }
  const unnamed = giveNames(call, node, pod, kernel.getHostNetns(), onHost);
  moveAll(node, log, onHost, pod, links);
  const kept = giveNames(call, node, pod, pod, [...inPod, ...unnamed]);
  if (kept.length > 0) {
    record = withoutNames(record, kept);
    state.save(record);
  }
  finish(call, node, record, pod, deviceInfo);
  print();
  rollback.move();
}

/**
 * What an ADD of the same attachment recorded that no DEL followed.
 *
 * @throws {CniError} code 7 when the file is another attachment's
 */
function loadEarlier(call: Call, { state }: Node): AttachmentRecord | undefined {
  const attachment = attachmentOf(call);
  try {
    const earlier = state.load(attachment);
    if (!earlier || isRecordOf(earlier, attachment)) return earlier;
    throw belongsToOther(state.fileOf(attachment), earlier);
  } catch (error) {
    if (!(error instanceof UnreadableRecord)) throw error;
    call.log.warning(`${error.message}: it is replaced`);
    return undefined;
  }
}

function belongsToOther(file: string, { attachment: owner }: AttachmentRecord): CniError {
  return new CniError(
    ErrorCode.invalidConfig,
    `Cannot record attachment ${file}: the file belongs to network ${JSON.stringify(owner?.network)}, ` +
      `container ${JSON.stringify(owner?.containerID)}, interface ${JSON.stringify(owner?.ifname)}`,
    "rename one of the two networks: their file names must differ",
  );
}

function newRecord(
  attachment: Attachment,
  deviceId: string,
  devices: readonly NamedDevice[],
  { kernel }: Node,
  pod: Netns,
): OwnRecord {
  const { path, inode } = pod;
  const cookie = pod.getCookie();
  return {
    attachment,
    deviceId,
    devices: devices.map(({ index, name, podName }) => ({ index, hostName: name, podName })),
    netns: { path, inode, ...(cookie === undefined ? {} : { cookie }) },
    bootId: kernel.getBootId(),
    bootTimeUs: kernel.getBootTimeUs(),
    createdAt: Date.now(),
  };
}

/** The record of devices of which some have kept the names that they have on the host. */
function withoutNames(record: OwnRecord, kept: readonly NamedDevice[]): OwnRecord {
  const devices = record.devices.map((device) =>
    kept.some(({ index }) => index === device.index) ? { ...device, podName: device.hostName } : device
  );
  return { ...record, devices };
}

/** Whether an earlier ADD did all that this one is to do. */
function isInPlace(earlier: AttachmentRecord, deviceId: string, pod: Netns): boolean {
  if (earlier.deviceId !== deviceId || !earlier.netns || !isRecorded(pod, earlier.netns)) return false;
  return earlier.devices.every(({ index, hostName, podName }) => {
    const device = index === undefined ? undefined : pod.getRdmaDevice(index);
    return device && (podName === hostName || podName === device.name);
  });
}

/** What is done with devices that are in the pod. */
function finish(
  { config }: Call,
  { kernel }: Node,
  { devices }: AttachmentRecord,
  pod: Netns,
  deviceInfo: DeviceInfoFile | undefined,
): void {
  if (!config.rdmaQos && !deviceInfo) return;
  const names = devices.flatMap(({ index }) => pod.getRdmaDevice(index!)?.name ?? []);
  if (config.rdmaQos) setTos(config.rdmaQos, kernel, names);
  deviceInfo?.write(names);
}

function moveAll(
  { kernel }: Node,
  log: Log,
  devices: readonly FunctionDevice[],
  pod: Netns,
  links: PodLinks,
): void {
  for (const device of devices) moveDevice(kernel, device, kernel.getHostNetns(), pod);
  for (const device of devices) {
    const { index, name, uverbs } = device;
    const after = pod.getUverbs(index);
    if (after === undefined && !pod.getRdmaDevice(index)) throw vanished(device, pod);
    log.info(`RDMA device ${name} (index ${index}) moved to ${pod.path}`);
    if (after !== uverbs) log[uverbs ? "warning" : "info"](explainUverbs(name, uverbs, after));
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

function vanished(device: RdmaDevice, pod: Netns): CniError {
  return new CniError(
    ErrorCode.deviceMissing,
    `Cannot find RDMA device ${JSON.stringify(device.name)} in network namespace ${
      JSON.stringify(pod.path)
    } ` +
      "after the kernel moved it there",
    "its driver was rebound meanwhile, or another program moved it: try again",
  );
}

function undo({ environment, log }: Call, node: Node, file: string, record: AttachmentRecord): void {
  try {
    if (restoreDevices(node, log, file, record, environment.netns)) node.state.remove(file);
  } catch (error) {
    const reason = messageOf(error);
    log.error(`Rolling back failed, the record ${file} stays for DEL: ${reason}`);
  }
}
