import { CniError, ErrorCode } from "../cni/error.ts";
import type { Netns, RdmaDevice } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { describeClaim, isAlive, listClaims } from "./record/claims.ts";
import type { Call, RdmaSelection } from "./config/config.ts";
import {
  countAway,
  getFunction,
  listDevicesIn,
  type PlannedDevice,
  type RdmaFunction,
  uverbsOf,
} from "./device/device.ts";
import { refuseSubDevices } from "./device/move.ts";
import { KERNEL_TIMEOUT_MS, type Node, poll } from "./node.ts";
import { restoreDevices } from "./restore.ts";
import type { StoredRecord } from "./record/state.ts";

/** A function with all of its RDMA devices, none of which another pod has. */
interface Available extends RdmaFunction {
  readonly inPod: readonly RdmaDevice[];
}

/**
 * Finds the RDMA devices of a function that the configuration selects and makes sure that no other pod has one of the
 * function. Devices that a dead pod left in a namespace are restored to the host first.
 *
 * @param file the name of this attachment's own record
 * @returns the devices, those that the pod has already first, by the names that they have
 * @throws {CniError} 110 when one is not there, 111 when another pod has one, 112 when it is a physical function's and
 *   the configuration forbids that
 */
export function acquireDevices(
  call: Call,
  node: Node,
  file: string,
  deviceId: string,
  pod: Netns,
): PlannedDevice[] {
  const available = findAvailable(call, node, file, deviceId, pod);
  const selected = selectDevices(available, call.config.rdmaDevices, deviceId);
  return [
    ...selected.inPod.map((device) => planned(device, "pod")),
    ...selected.onHost.map((device) => ({
      ...planned(device, "host"),
      uverbs: uverbsOf(available.bus, device.name),
    })),
  ];
}

function planned({ index, name }: RdmaDevice, location: PlannedDevice["location"]): PlannedDevice {
  return { index, hostName: name, podName: name, location };
}

function findAvailable(call: Call, node: Node, file: string, deviceId: string, pod: Netns): Available {
  const { bus, onHost } = getFunction(node, deviceId);
  checkPhysicalFunction(call, node, { bus, onHost });
  refuseSubDevices(onHost, onHost);
  // With CNI_NETNS_OVERRIDE the "pod" may be the host, and a move to where a device is would reset it.
  if (pod.inode === node.kernel.getHostNetns().inode) return { bus, onHost: [], inPod: onHost };
  if (countAway(bus) === 0 && !mayBeMisnamed(onHost)) return { bus, onHost, inPod: [] };

  const claims = listClaims(node, file, deviceId);
  const holder = claims.find((claim) => isAlive(node.kernel, claim));
  if (holder && countAway(bus) > 0) throw inUse(deviceId, describeClaim(holder));
  const find = () => findDevices(node, deviceId, pod);
  let available = countAway(bus) === 0 ? undefined : find();
  if (!available) {
    for (const claim of claims) if (!isAlive(node.kernel, claim)) evict(claim, node, call.log);
    available = poll(node.kernel, KERNEL_TIMEOUT_MS, find);
  }
  // A record of version 1.0 does not name its namespace: while the device is on the host, its pod has ended.
  const unknown = claims.find(({ netns }) => !netns);
  if (!available || available.inPod.length > 0 && unknown) {
    throw inUse(deviceId, unknown ? describeClaim(unknown) : "no record of this plugin names the pod");
  }
  refuseSubDevices(available.onHost, available.onHost);
  return available;
}

/** Names as the drivers make them that have devices which can be moved. */
const DRIVER_NAME = /^(mlx[45]_|hns_|mana_|erdma_|ionic_|bnxt_re|irdma)\d+$/;

/**
 * Returns whether a device on the host may have a name that a dead pod left: it returns under that, or as `ibdevN`. Where
 * udev renames devices this holds for all; then the records are read, which takes a millisecond.
 */
function mayBeMisnamed(onHost: readonly RdmaDevice[]): boolean {
  return onHost.some(({ name }) => !DRIVER_NAME.test(name));
}

/** All RDMA devices that a function has, or undefined when one is neither on the host nor in the pod. */
function findDevices(node: Node, deviceId: string, pod: Netns): Available | undefined {
  const { bus, onHost } = getFunction(node, deviceId);
  const away = countAway(bus);
  const inPod = away > 0 ? listDevicesIn(pod, bus) : [];
  return inPod.length === away ? { bus, onHost, inPod } : undefined;
}

/** Takes a function from an attachment whose namespace has lost its path: the pod is gone and no DEL came. */
function evict(claim: StoredRecord, node: Node, log: Log): void {
  if (!claim.netns) return;
  log.warning(`Pod of ${claim.file} is gone but still has device ${claim.deviceId}: restoring it`);
  if (!restoreDevices(node, log, claim, "")) throw inUse(claim.deviceId, describeClaim(claim));
  node.state.remove(claim.file);
}

function checkPhysicalFunction({ config, log }: Call, { kernel }: Node, { bus, onHost }: RdmaFunction): void {
  if (!bus.isPhysicalFunction) return;
  const id = JSON.stringify(bus.id);
  if (!config.allowPf) {
    throw new CniError(
      ErrorCode.deviceForbidden,
      `Cannot move the RDMA device of ${id}: it is a physical function, and "allowPF" is false`,
      "pass the address of a virtual function as deviceID",
    );
  }
  const users = onHost.flatMap(({ index, name }) =>
    kernel.getHostNetns().listResources(index).filter(({ count }) => count > 0n)
      .map(({ kind, count }) => `${count} ${kind} on ${name}`)
  );
  const hanging = [...(bus.enabledVfs > 0 ? [`${bus.enabledVfs} virtual functions`] : []), ...users];
  log.warning(
    `${id} is a physical function: the host loses its RDMA device` +
      (hanging.length > 0 ? `, on which hang ${hanging.join(", ")}` : ""),
  );
}

function inUse(deviceId: string, holder: string): CniError {
  return new CniError(
    ErrorCode.deviceInUse,
    `Cannot move the RDMA device of ${JSON.stringify(deviceId)}: it is in another network namespace`,
    `${holder}; delete that pod; "rdma-cni doctor" on the node says where the device is and how it returns to the host`,
  );
}

/**
 * Those of a function's RDMA devices that the configuration selects. Numbers count them from 1 in the order in which
 * the driver made them; a driver that makes a device for each port does so in the order of the ports.
 */
function selectDevices({ onHost, inPod }: Available, selection: RdmaSelection, deviceId: string) {
  if (selection === "all") return { onHost, inPod };
  const all = [...onHost, ...inPod].sort((a, b) => a.index - b.index);
  const selected = (selection === "first" ? [1] : selection).map((one) => {
    const device = typeof one === "number" ? all[one - 1] : all.find(({ name }) => name === one);
    return device ?? absent(one, all, deviceId);
  });
  const isSelected = (device: RdmaDevice) => selected.includes(device);
  return { onHost: onHost.filter(isSelected), inPod: inPod.filter(isSelected) };
}

function absent(wanted: string | number, all: readonly RdmaDevice[], deviceId: string): never {
  const names = all.map(({ name }, at) => `${at + 1}: ${name}`).join(", ");
  throw new CniError(
    ErrorCode.deviceNotFound,
    `Cannot find RDMA device ${JSON.stringify(wanted)} among those of ${
      JSON.stringify(deviceId)
    }: it has ${names}`,
    'correct "rdmaDevices" in the network configuration',
  );
}
