import type { Call, RdmaSelection } from "./config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Netns, RdmaDevice } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { type Claim, describeClaim, isAlive, listClaims } from "./claims.ts";
import { countAway, type FunctionDevice, getFunction, listDevicesIn, type RdmaFunction } from "./device.ts";
import { refuseSubDevices } from "./move.ts";
import { KERNEL_TIMEOUT_MS, type Node, poll } from "./node.ts";
import { restoreDevices } from "./restore.ts";

/** A function's RDMA devices that ADD may take. */
export interface AcquiredDevices {
  readonly onHost: readonly FunctionDevice[];
  /** Devices that the pod has already. */
  readonly inPod: readonly RdmaDevice[];
}

/**
 * Finds the RDMA devices of a function and makes sure that no other pod has them. Devices that a dead pod left in a
 * namespace are restored to the host first.
 *
 * @param file the name of this attachment's own record
 * @throws {CniError} 110 when there are none, 111 when another pod has one, 112 when it is a physical function's and
 *   the configuration forbids that
 */
export function acquireDevices(
  { config, log }: Call,
  node: Node,
  file: string,
  deviceId: string,
  pod: Netns,
): AcquiredDevices {
  const found = getFunction(node, deviceId);
  checkPhysicalFunction(found, config.allowPf, node, log);
  refuseSubDevices(found.onHost, found.onHost);
  // With CNI_NETNS_OVERRIDE the "pod" may be the host, and a move to where a device is would reset it.
  if (pod.inode === node.kernel.getHostNetns().inode) return { onHost: [], inPod: found.onHost };
  if (countAway(found.bus) === 0) return { onHost: found.onHost, inPod: [] };

  const claims = listClaims(node, file, deviceId);
  const holder = claims.find((claim) => isAlive(node.kernel, claim));
  if (holder) throw inUse(deviceId, describeClaim(holder));
  const find = () => findDevices(node, deviceId, pod);
  let acquired = find();
  if (!acquired) {
    for (const claim of claims) evict(claim, node, log, deviceId);
    acquired = poll(node.kernel, KERNEL_TIMEOUT_MS, find);
  }
  // A record of version 1.0 does not name its namespace: while the device is on the host, its pod has ended.
  const unknown = claims.find(({ record }) => !record.netns);
  if (!acquired || acquired.inPod.length > 0 && unknown) {
    throw inUse(deviceId, unknown ? describeClaim(unknown) : "no record of this plugin tells which");
  }
  refuseSubDevices(acquired.onHost, acquired.onHost);
  return acquired;
}

/** All RDMA devices that a function has, or undefined when one is neither on the host nor in the pod. */
function findDevices(node: Node, deviceId: string, pod: Netns): AcquiredDevices | undefined {
  const { bus, onHost } = getFunction(node, deviceId);
  const away = countAway(bus);
  const inPod = away > 0 ? listDevicesIn(pod, bus) : [];
  return inPod.length === away ? { onHost, inPod } : undefined;
}

/** Takes a function from an attachment whose namespace has lost its path: the pod is gone and no DEL came. */
function evict({ file, record }: Claim, node: Node, log: Log, deviceId: string): void {
  if (!record.netns) return;
  log.warning(`Pod of ${file} is gone but still has device ${deviceId}: restoring it`);
  if (!restoreDevices(node, log, file, record, "")) throw inUse(deviceId, describeClaim({ file, record }));
  node.state.remove(file);
}

function checkPhysicalFunction(
  { bus, onHost }: RdmaFunction,
  allowPf: boolean,
  { kernel }: Node,
  log: Log,
): void {
  if (!bus.isPhysicalFunction) return;
  const id = JSON.stringify(bus.id);
  if (!allowPf) {
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
    `${holder}; delete that pod, or return the device to the host by a process PID that is there: ip netns attach host 1; ` +
      "nsenter -t PID --net rdma dev set NAME netns host; ip netns del host",
  );
}

/**
 * Those of a function's RDMA devices that the configuration wants. Numbers count them from 1 in the order in which the
 * driver made them; a driver that makes a device for each port does so in the order of the ports.
 *
 * @throws {CniError} code 110 when one that is wanted is not there
 */
export function selectDevices(
  { onHost, inPod }: AcquiredDevices,
  wanted: RdmaSelection,
  deviceId: string,
): AcquiredDevices {
  if (wanted === "all") return { onHost, inPod };
  const all = [...onHost, ...inPod].sort((a, b) => a.index - b.index);
  const chosen = (wanted === "first" ? [1] : wanted).map((one) => {
    const device = typeof one === "number" ? all[one - 1] : all.find(({ name }) => name === one);
    return device ?? absent(one, all, deviceId);
  });
  const isChosen = (device: RdmaDevice) => chosen.includes(device);
  return { onHost: onHost.filter(isChosen), inPod: inPod.filter(isChosen) };
}

function absent(wanted: string | number, all: readonly RdmaDevice[], deviceId: string): never {
  throw new CniError(
    ErrorCode.deviceNotFound,
    `Cannot find RDMA device ${JSON.stringify(wanted)} among those of ${JSON.stringify(deviceId)}: it has ${
      all.map(({ name }, at) => `${at + 1}: ${name}`).join(", ")
    }`,
    'correct "rdmaDevices" in the network configuration',
  );
}
