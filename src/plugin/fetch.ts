/** Taking devices out of a pod's namespace, back to the host's. */
import { type BusDevice, isRdmaMissing, type Kernel, type Netns, type RdmaDevice } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { messageOf } from "../sys/errno.ts";
import { countAway, listDevicesIn, mayBelongTo } from "./device/device.ts";
import { moveUnderFreeName, refuseSubDevices } from "./device/move.ts";
import { isDeviceName } from "./device/names.ts";
import { getRecordedDevice, type RecordedDevice } from "./record/record.ts";

/** Returns whether a device can be in a pod: not in shared mode, nor without an RDMA subsystem. */
export function canBeAway(kernel: Kernel, log: Log): boolean {
  try {
    if (kernel.getRdmaMode() === "exclusive") return true;
    log.info("The RDMA subsystem is in mode shared: no device can be in a pod");
  } catch (error) {
    if (!isRdmaMissing(error)) throw error;
    log.info("The kernel has no RDMA subsystem (ib_core is not loaded): no device can be in a pod");
  }
  return false;
}

/** Moves to the host what a namespace has of the recorded devices, and others of the function that are there. */
export function fetchDevices(
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
    // Where no bus has the function any more, what the pod has of it goes home all the same.
    .filter((device) => !bus || mayBelongTo(kernel, deviceId, netns, device, bus));
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
  const own = recorded.find((device) => device.index === index || device.podName === name);
  return own && isDeviceName(own.hostName) ? own.hostName : name;
}

/** A new sub-device appears in the host's namespace, wherever its parent is. */
function listSubDevicesOnHost(kernel: Kernel, bus: BusDevice | undefined): RdmaDevice[] {
  if (!bus || bus.rdmaDevices.length === 0) return [];
  const devices = kernel.getHostNetns().listRdmaDevices();
  return devices.filter(({ name, parent }) => parent !== undefined && bus.rdmaDevices.includes(name));
}
