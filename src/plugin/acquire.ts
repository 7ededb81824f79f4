import type { Call } from "../cni/dispatch.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Log } from "../log.ts";
import type { BusDevice, Netns, RdmaDevice } from "../kernel/kernel.ts";
import { type Claim, describeClaim, listClaims } from "./claim.ts";
import { type FunctionDevice, getFunction, listDevicesIn, type RdmaFunction } from "./device.ts";
import { awaitReturn, bringHome } from "./home.ts";
import { refuseSubDevices } from "./move.ts";
import type { Node } from "./node.ts";
import { openRecorded } from "./recorded_netns.ts";

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
  const { kernel } = node;
  let found = getFunction(node, deviceId);
  checkPhysicalFunction(found, config.allowPf, node, log);
  refuseSubDevices(found.atHome, found.atHome);
  // With CNI_NETNS_OVERRIDE the "pod" may be the host, and a move to where a device is would reset it.
  if (pod.inode === kernel.hostNetns.inode) return { atHome: [], inPod: found.atHome };
  if (!found.isAway) return { atHome: found.atHome, inPod: [] };

  const claims = listClaims(node, file, deviceId);
  const inPod = listDevicesIn(pod, found.bus);
  if (inPod.length > 0 && claims[0]) throw inUse(deviceId, describeClaim(claims[0]));
  if (isElsewhere(found.bus, inPod)) {
    for (const claim of claims) evict(claim, node, log, deviceId);
    if (!awaitReturn(kernel, deviceId)) throw inUse(deviceId, "no record of this plugin tells which");
    found = getFunction(node, deviceId);
  }
  return { atHome: found.atHome, inPod };
}

function isElsewhere(bus: BusDevice, inPod: readonly RdmaDevice[]): boolean {
  const known = [...bus.rdmaDevices, ...inPod.map(({ name }) => name)];
  return bus.uverbs.some(({ rdmaDevice }) => !known.includes(rdmaDevice));
}

/** Takes a function from an attachment whose namespace has lost its path: the pod is gone and no DEL came. */
function evict({ file, record }: Claim, node: Node, log: Log, deviceId: string): void {
  using live = record.netns && openRecorded(node.kernel, record.netns);
  if (live || !record.netns) throw inUse(deviceId, describeClaim({ file, record }));
  log.warning(`Pod of ${file} is gone but still has device ${deviceId}: bringing it home`);
  bringHome(node, log, file, record, "");
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
