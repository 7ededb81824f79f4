import type { Call } from "./config/config.ts";
import { CniError } from "../cni/error.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Log } from "../log.ts";
import { removeLeftover } from "./features/device_info.ts";
import { isIpoibOf } from "./features/pod_links.ts";
import { canBeAway, fetchDevices } from "./fetch.ts";
import type { Node } from "./node.ts";
import { isAlive, listClaims } from "./record/claims.ts";
import { takeLock } from "./record/lock.ts";
import { openIfThere } from "./record/namespaces.ts";
import { attachmentOf } from "./record/record.ts";
import { restoreDevices } from "./restore.ts";

/**
 * Restores the attachment's RDMA devices to the host and removes its record. Succeeds whenever nothing of it is left,
 * whatever the reason; fails only when a device that is in the pod cannot be moved. The record stays while a device is
 * out of reach.
 *
 * @throws {CniError}
 */
export function del(call: Call, node: Node): void {
  const { log } = call;
  const { kernel, state } = node;
  // Without a directory there was never an ADD, and a failing ADD may be why there is none.
  using _lock = state.exists() ? takeLock(call, node) : undefined;
  const attachment = attachmentOf(call);
  const file = state.fileOf(attachment);
  const { record, other, fault } = state.find(attachment);
  if (other) return log.info(`Record ${file} is another attachment's: not touched`);
  if (fault) log.warning(fault);
  else if (!record) log.info(`There is no record ${file}`);
  const netns = podNetns(call, kernel);
  const { deviceId } = call.config;
  const isDone = !record || restoreDevices(node, log, record, netns);
  if (!record && deviceId) restoreUnrecorded(call, node, file, deviceId, netns);
  removeLeftover(call, node);
  if (isDone) removeRecord(node, log, file);
}

/** CNI_NETNS, or "" when it is the host namespace: that is never a pod's, so only the record counts then. */
function podNetns({ environment: { netns }, log }: Call, kernel: Kernel): string {
  if (!netns || !kernel.isHostNetns(netns)) return netns;
  log.info(`CNI_NETNS ${JSON.stringify(netns)} is the host's network namespace: the record alone counts`);
  return "";
}

/**
 * Restores what a namespace has of a function when there is no record of what was moved. A device whose IPoIB
 * interface is the pod's is left there: ib-sriov-cni moved both, and restores them after the interface was released.
 *
 * @throws {CniError} code 120 when a device is there but cannot be moved
 */
function restoreUnrecorded(
  { environment, log }: Call,
  node: Node,
  file: string,
  deviceId: string,
  netnsPath: string,
): void {
  const { kernel } = node;
  if (!canBeAway(kernel, log)) return;
  const owner = listClaims(node, file, deviceId).find((claim) => !claim.netns || isAlive(kernel, claim));
  if (owner) return log.info(`Device ${deviceId} belongs to ${owner.file}: not touched`);
  using netns = openIfThere(kernel, netnsPath);
  if (!netns) return;
  const link = netns.getLink(environment.ifname);
  if (link && isIpoibOf(link, deviceId)) {
    return log.info(`Interface ${environment.ifname} is IPoIB on device ${deviceId}: not touched`);
  }
  fetchDevices(kernel, log, netns, deviceId, []);
}

/**
 * Removes a record whose devices are on the host. A failure is only logged: nothing is lost by it, while a failing DEL
 * would keep the pod from going away; GC tries again.
 */
export function removeRecord({ state }: Node, log: Log, file: string): void {
  try {
    state.remove(file);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    log.warning(`${error.message}; the devices are on the host, so the record does no harm`);
  }
}
