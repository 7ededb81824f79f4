import type { Call } from "./config/config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Log } from "../log.ts";
import { messageOf } from "../sys/errno.ts";
import { removeRecord } from "./del.ts";
import { toCniError } from "./errors.ts";
import { takeLock } from "./record/lock.ts";
import type { Node } from "./node.ts";
import { restoreDevices } from "./restore.ts";
import { isRecord, type StoredRecord, type UnreadableFile } from "./record/state.ts";

/**
 * Restores the devices of this network's attachments that are no longer valid, and removes their records. A failure
 * does not stop it.
 *
 * @throws {CniError} code 120 with all failures
 */
export function gc(call: Call, node: Node): void {
  const { config, log } = call;
  const { state } = node;
  const { validAttachments, name: network } = config;
  if (!validAttachments) return log.warning('No "cni.dev/valid-attachments": nothing is collected');
  if (!state.exists()) return;
  using _lock = takeLock(call, node);
  state.removeLeftovers();
  const valid = new Set(
    validAttachments.map(({ containerID, ifname }) => state.fileOf({ network, containerID, ifname })),
  );
  const failures: string[] = [];
  for (const listed of state.listFiles()) {
    const { file } = listed;
    if (valid.has(file) || !belongsTo(network, listed)) continue;
    try {
      log.info(`Attachment ${file} is no longer valid`);
      collect(node, log, file);
    } catch (error) {
      failures.push(`${file}: ${messageOf(toCniError(error))}`);
    }
  }
  if (failures.length === 0) return;
  const what = `${failures.length} attachments of network ${JSON.stringify(network)}`;
  throw new CniError(
    ErrorCode.kernelRefused,
    `Cannot collect ${what}: ${failures.join("; ")}`,
    "the others are done; run GC again when the cause is fixed",
  );
}

/**
 * Restores the devices of an attachment that is no longer there and removes its record.
 *
 * @returns whether that is done; the record stays while a device is out of reach
 * @throws {CniError} code 120 when a device is there but cannot be moved
 */
export function collect(node: Node, log: Log, file: string): boolean {
  // Read now: what was done for another record may have changed this one.
  const found = node.state.read(file);
  if (!found) return true;
  if (!isRecord(found)) log.warning(found.fault);
  else if (!restoreDevices(node, log, found, "")) return false;
  removeRecord(node, log, file);
  return true;
}

/**
 * Returns whether a record is of a network. Where it does not say (1.0, or unreadable) its file's name must, and that can
 * be split in only one way if the container ID has the form that container runtimes give it.
 */
export function belongsTo(network: string, found: StoredRecord | UnreadableFile): boolean {
  if (isRecord(found) && found.attachment) return found.attachment.network === network;
  return found.file.startsWith(`${network}-`) && /^[0-9a-f]{64}-/.test(found.file.slice(network.length + 1));
}
