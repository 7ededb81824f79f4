import type { Call, RdmaSelection } from "./config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Netns, RdmaDevice } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { type Claim, describeClaim, isAlive, listClaims } from "./claims.ts";
import { countAway, type FunctionDevice, getFunction, listDevicesIn, type RdmaFunction } from "./device.ts";
import { refuseSubDevices } from "./move.ts";
import { KERNEL_TIMEOUT_MS, type Node, poll } from "./node.ts";
import { bringHome } from "./restore.ts";

/** A function's RDMA devices that ADD may take. */
export interface AcquiredDevices {
  readonly atHome: readonly FunctionDevice[];
  /** Devices that the pod has already. */
  readonly inPod: readonly RdmaDevice[];
}

/**
 * Finds the RDMA devices of a function and makes sure that no other pod has them. Devices that a dead pod left in a
 * namespace are brought home first.
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
  refuseSubDevices(found.atHome, found.atHome);
  // With CNI_NETNS_OVERRIDE the "pod" may be the host, and a move to where a device is would reset it.
  if (pod.inode === node.kernel.hostNetns.inode) return { atHome: [], inPod: found.atHome };
  if (countAway(found.bus) === 0) return { atHome: found.atHome, inPod: [] };

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
  refuseSubDevices(acquired.atHome, acquired.atHome);
  return acquired;
}

/** All RDMA devices that a function has, or undefined when one is neither on the host nor in the pod. */
function findDevices(node: Node, deviceId: string, pod: Netns): AcquiredDevices | undefined {
  const { bus, atHome } = getFunction(node, deviceId);
  const away = countAway(bus);
  const inPod = away > 0 ? listDevicesIn(pod, bus) : [];
  return inPod.length === away ? { atHome, inPod } : undefined;
}

/** Takes a function from an attachment whose namespace has lost its path: the pod is gone and no DEL came. */
function evict({ file, record }: Claim, node: Node, log: Log, deviceId: string): void {
  if (!record.netns) return;
  log.warning(`Pod of ${file} is gone but still has device ${deviceId}: bringing it home`);
  if (!bringHome(node, log, file, record, "")) throw inUse(deviceId, describeClaim({ file, record }));
  node.state.remove(file);
}

function checkPhysicalFunction(
  { bus, atHome }: RdmaFunction,
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
  const users = atHome.flatMap(({ index, name }) =>
    kernel.hostNetns.listResources(index).filter(({ count }) => count > 0n)
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
    `${holder}; delete that pod, or bring the device home by a process PID that is there: ip netns attach home 1; ` +
      "nsenter -t PID --net rdma dev set NAME netns home; ip netns del home",
  );
}

/**
 * Those of a function's RDMA devices that the configuration wants. Numbers count them from 1 in the order in which the
 * driver made them; a driver that makes a device for each port does so in the order of the ports.
 *
 * @throws {CniError} code 110 when one that is wanted is not there
 */
export function selectDevices(
  { atHome, inPod }: AcquiredDevices,
  wanted: RdmaSelection,
  deviceId: string,
): AcquiredDevices {
  if (wanted === "all") return { atHome, inPod };
  const all = [...atHome, ...inPod].sort((a, b) => a.index - b.index);
  const chosen = (wanted === "first" ? [1] : wanted).map((one) => {
    const device = typeof one === "number" ? all[one - 1] : all.find(({ name }) => name === one);
    return device ?? absent(one, all, deviceId);
  });
  const isChosen = (device: RdmaDevice) => chosen.includes(device);
  return { atHome: atHome.filter(isChosen), inPod: inPod.filter(isChosen) };
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
