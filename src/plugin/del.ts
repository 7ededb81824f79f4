import type { Call } from "../cni/dispatch.ts";
import { CniError } from "../cni/error.ts";
import type { Log } from "../log.ts";
import { bringHome, bringHomeUnrecorded } from "./home.ts";
import { takeLock } from "./lock.ts";
import type { Node } from "./node.ts";
import { attachmentOf, UnreadableRecord } from "./record.ts";

/**
 * Brings the attachment's RDMA devices home and forgets it. Succeeds whenever nothing of it is left, whatever the
 * reason; fails only when a device that is in the pod cannot be moved.
 *
 * @throws {CniError}
 */
export function del(call: Call, node: Node): void {
  const { log } = call;
  const { kernel, state } = node;
  // Without a folder there was never an ADD, and a failing ADD may be why there is none.
  using _lock = state.exists() ? takeLock(kernel, state.folder) : undefined;
  const attachment = attachmentOf(call);
  const file = state.fileOf(attachment);
  if (state.otherOwner(attachment)) return log.info(`Record ${file} is another attachment's: not touched`);
  bringDevicesHome(call, node, file);
  forget(node, log, file);
}

/**
 * Removes a record whose devices are home. A failure is only logged: nothing is lost by it, while a failing DEL would
 * keep the pod from going away; GC tries again.
 */
export function forget({ state }: Node, log: Log, file: string): void {
  try {
    state.remove(file);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    log.warning(`${error.message}; the devices are home, so the record does no harm`);
  }
}

function bringDevicesHome(call: Call, node: Node, file: string): void {
  const { environment, config, log } = call;
  try {
    const record = node.state.load(attachmentOf(call));
    if (record) return bringHome(node, log, file, record, environment.netns);
    log.info(`There is no record ${file}`);
  } catch (error) {
    if (!(error instanceof UnreadableRecord)) throw error;
    log.warning(error.message);
  }
  if (config.deviceId) bringHomeUnrecorded(node, log, file, config.deviceId, environment.netns);
}
