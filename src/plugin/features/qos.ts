import {
  type Kernel,
  type Netns,
  type RdmaDevice,
  RoceQosError,
  type RoceQosSetting,
} from "../../kernel/kernel.ts";
import type { Log } from "../../log.ts";
import type { RdmaQos } from "../config/config.ts";
import type { Node } from "../node.ts";
import type { OwnRecord, RecordedDevice, RecordedQos } from "../record/record.ts";
import { messageOf } from "../../sys/errno.ts";

const SETTINGS: readonly RoceQosSetting[] = ["trafficClass", "tos"];

/**
 * Records what the devices have on the host of what is to be changed. To be called before they are moved, with the
 * record saved already: then a crash leaves nothing that DEL and GC do not know of, a group in configfs included.
 *
 * @returns the record as it is saved now
 * @throws {RoceQosError} when driver or kernel lack a setting
 */
export function recordQos(wanted: RdmaQos, { kernel, state }: Node, record: OwnRecord): OwnRecord {
  if (wanted.tos !== undefined) {
    record = withQos(record, ({ hostName }) => ({ hadGroup: kernel.roceQos.hasGroup(hostName) }));
    state.save(record);
  }
  const settings = SETTINGS.filter((setting) => wanted[setting] !== undefined);
  record = withQos(record, ({ index, hostName, qos }) => {
    const device = { index: index!, name: hostName };
    const values = settings.map((setting) => {
      const read = (name: string) => kernel.roceQos.read(setting, name);
      return [setting, withName(kernel, kernel.getHostNetns(), setting, device, read)];
    });
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

/** Returns the QoS that can be set: a traffic class that is optional is left out, with a warning, where a driver has none. */
export function withoutMissing(
  wanted: RdmaQos,
  { roceQos }: Kernel,
  log: Log,
  { devices }: OwnRecord,
): RdmaQos {
  if (!wanted.isTrafficClassOptional) return wanted;
  try {
    for (const { hostName } of devices) roceQos.read("trafficClass", hostName);
    return wanted;
  } catch (error) {
    if (!(error instanceof RoceQosError)) throw error;
    log.warning(`${error.message}; the pod goes without, as rdmaQoS.tc allows`);
    const { trafficClass: _, ...rest } = wanted;
    return rest;
  }
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

/** Sets the default ToS of recorded devices in a namespace, which is 0 after each move. @throws {RoceQosError} */
export function setTos(
  { tos }: RdmaQos,
  kernel: Kernel,
  netns: Netns,
  recorded: readonly RecordedDevice[],
): void {
  for (const { index, qos } of recorded) {
    const device = netns.getRdmaDevice(index!);
    const values = tos === "host" ? qos?.tos : tos;
    if (!device || values === undefined) continue;
    withName(kernel, netns, "tos", device, (name) => kernel.roceQos.write("tos", name, values));
  }
}

/**
 * Does something with a device by its name. configfs has the ToS by name alone, and of several devices that have it in
 * different namespaces, as Linux 7.3 allows, takes the first (cma.c, cma_enum_devices_by_ibdev). So where there are
 * several, the device gets a name that no other has for that moment.
 */
function withName<T>(
  kernel: Kernel,
  netns: Netns,
  setting: RoceQosSetting,
  { index, name }: RdmaDevice,
  work: (name: string) => T,
): T {
  if (setting !== "tos" || kernel.listDeviceNames().filter((other) => other === name).length <= 1) {
    return work(name);
  }
  const unique = `rdma-cni-${index}`;
  netns.renameRdmaDevice(index, unique);
  try {
    return work(unique);
  } finally {
    netns.renameRdmaDevice(index, name);
  }
}

/**
 * Restores the QoS that a recorded device had on the host. A value that cannot be restored is only logged: failing would
 * keep the pod from going away.
 *
 * @param device undefined if it is not on the host; if its driver was rebound, it has the driver's defaults already
 */
export function restoreQos(
  kernel: Kernel,
  log: Log,
  { hostName, podName, qos = {} }: RecordedDevice,
  device: RdmaDevice | undefined,
): void {
  if (device) restoreValues(kernel, log, device, qos);
  else log.warning(`RDMA device ${hostName} is not on the host: its QoS is not restored`);
  // A crash may have left one that ADD had made.
  if (qos.hadGroup === false) kernel.roceQos.removeGroup(hostName);
  if (qos.hadGroup !== undefined && podName !== hostName) kernel.roceQos.removeGroup(podName);
}

function restoreValues(kernel: Kernel, log: Log, device: RdmaDevice, qos: RecordedQos): void {
  for (const setting of SETTINGS) {
    const values = qos[setting];
    if (!values) continue;
    try {
      const write = (name: string) => kernel.roceQos.write(setting, name, values);
      withName(kernel, kernel.getHostNetns(), setting, device, write);
      log.info(`RDMA device ${device.name} has ${setting} ${values} again`);
    } catch (error) {
      log.warning(`${messageOf(error)}; it keeps that of the pod`);
    }
  }
}
