import type { Kernel, RoceQos, RoceQosSetting } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { type Claim, findNewerClaim } from "./claims.ts";
import type { RdmaQos } from "./config.ts";
import type { Node } from "./node.ts";
import type { AttachmentRecord, OwnRecord, RecordedDevice, RecordedQos } from "./record.ts";
import { messageOf } from "../sys/errno.ts";

const SETTINGS: readonly RoceQosSetting[] = ["trafficClass", "tos"];

/**
 * Records what the devices have on the host of what is to be changed. To be called before they are moved, with the record
 * saved already: then a crash leaves nothing that DEL and GC do not know of, a group in configfs included.
 *
 * @returns the record as it is saved now
 * @throws {RoceQosError} when driver or kernel lack a setting
 */
export function recordQos(
  wanted: RdmaQos,
  { kernel: { roceQos }, state }: Node,
  record: OwnRecord,
): OwnRecord {
  if (wanted.tos !== undefined) {
    record = withQos(record, ({ hostName }) => ({ hadGroup: roceQos.hasGroup(hostName) }));
    state.save(record);
  }
  const settings = SETTINGS.filter((setting) => wanted[setting] !== undefined);
  record = withQos(record, ({ hostName, qos }) => {
    const values = settings.map((setting) => [setting, roceQos.read(setting, hostName)]);
    return { ...qos, ...Object.fromEntries(values) };
  });
  state.save(record);
  return record;
}

function withQos(record: OwnRecord, qosOf: (device: RecordedDevice) => RecordedQos | undefined): OwnRecord {
  const devices = record.devices.map((device) => {
    const qos = qosOf(device);
    return qos ? { ...device, qos } : device;
  });
  return { ...record, devices };
}

/** Gives the devices their traffic class, which can be done only before they are moved. @throws {RoceQosError} */
export function setTrafficClass(
  { trafficClass }: RdmaQos,
  { roceQos }: Kernel,
  { devices }: OwnRecord,
): void {
  if (trafficClass === undefined) return;
  for (const { hostName } of devices) roceQos.write("trafficClass", hostName, trafficClass);
}

/** Gives devices their default ToS, which is 0 after each move. @throws {RoceQosError} */
export function setTos({ tos }: RdmaQos, { roceQos }: Kernel, names: readonly string[]): void {
  if (tos !== undefined) { for (const name of names) roceQos.write("tos", name, tos); }
}

/**
 * Gives devices that are on the host the QoS that they had on the host. Those whose driver was bound anew have begun afresh. When
 * a newer attachment has a device by now, its DEL is to do it. A value that cannot be restored is only logged: failing
 * would keep the pod from going away.
 */
export function restoreQos(node: Node, log: Log, file: string, record: AttachmentRecord): void {
  const touched = record.devices.filter(({ qos }) => qos);
  if (touched.length === 0) return;
  const { roceQos } = node.kernel;
  const hostNetns = node.kernel.getHostNetns();
  const owner = findNewerClaim(node, file, record);
  if (owner) handOver(node, log, touched, owner);
  for (const { index, hostName, podName, qos } of touched) {
    if (index === undefined || owner?.record.devices.some((device) => device.index === index)) continue;
    const device = hostNetns.getRdmaDevice(index);
    if (device) restoreDevice(roceQos, log, device.name, qos ?? {});
    else log.warning(`RDMA device ${hostName} (index ${index}) is not on the host: its QoS is not restored`);
    // A crash may have left one that ADD had made.
    if (qos?.hadGroup === false) roceQos.removeGroup(hostName);
    if (qos?.hadGroup !== undefined && podName !== hostName) roceQos.removeGroup(podName);
  }
}

function restoreDevice(roceQos: RoceQos, log: Log, name: string, qos: RecordedQos): void {
  for (const setting of SETTINGS) {
    const values = qos[setting];
    if (!values) continue;
    try {
      roceQos.write(setting, name, values);
      log.info(`RDMA device ${name} has ${setting} ${values} again`);
    } catch (error) {
      log.warning(`${messageOf(error)}; it keeps that of the pod`);
    }
  }
}

/** What the host had before both attachments goes into the record of the newer one. */
function handOver({ state }: Node, log: Log, touched: readonly RecordedDevice[], { record }: Claim): void {
  const { attachment } = record;
  if (!attachment) return;
  try {
    state.save(withQos({ ...record, attachment }, ({ index, qos }) => {
      const earlier = touched.find((device) => device.index === index)?.qos;
      return earlier ? { ...qos, ...earlier } : qos;
    }));
  } catch (error) {
    log.warning(`${messageOf(error)}; the device keeps the QoS of the pod`);
  }
}
