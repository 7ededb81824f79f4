import type { Call } from "./config/config.ts";
import type { Added } from "../cni/dispatch.ts";
import { formatResult } from "../cni/result.ts";
import type { Netns } from "../kernel/kernel.ts";
import { messageOf } from "../sys/errno.ts";
import { readNameTemplate } from "./device/names.ts";
import { mayGoWithout } from "./errors.ts";
import { DevicePorts, requireReady } from "./features/ready.ts";
import type { Node } from "./node.ts";
import { placeDevices, tryToUndo, undo } from "./place.ts";
import { takeLock } from "./record/lock.ts";
import { attachmentOf, type AttachmentRecord } from "./record/record.ts";

/**
 * Moves the RDMA devices of the attachment's function into the pod's namespace. Where the configuration allows it, a pod
 * that can get none goes without.
 *
 * @throws {CniError}
 */
export function add(call: Call, node: Node): Added {
  const { environment, config, log } = call;
  const result = formatResult(config);
  const template = readNameTemplate(call);
  using pod = node.kernel.openNetns(environment.netns);
  try {
    return { result, undo: attach(call, node, pod, template) };
  } catch (error) {
    if (!mayGoWithout(error, config)) throw error;
    log.warning(`The pod gets no RDMA device: ${messageOf(error)}`);
    return { result, undo: () => {} };
  }
}

/** Places the devices. When they are not as the configuration wants them, they are restored to the host again. */
function attach(call: Call, node: Node, pod: Netns, template: string | undefined): () => void {
  using ports = new DevicePorts();
  const { record, isNew } = placeDevices(call, node, pod, template, ports);
  const undo = isNew ? () => rollBack(call, node, record) : () => {};
  try {
    requireReady(call, node.kernel, pod, record, ports);
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}

/** Undoes what was done before the lock was given up: by now a DEL may have ended the attachment. */
function rollBack(call: Call, node: Node, { bootTimeUs }: AttachmentRecord): void {
  const { state } = node;
  const attachment = attachmentOf(call);
  tryToUndo(call.log, state.fileOf(attachment), () => {
    using _lock = takeLock(call, node);
    const { record } = state.find(attachment);
    if (record && record.bootTimeUs === bootTimeUs) undo(call, node, record);
  });
}
