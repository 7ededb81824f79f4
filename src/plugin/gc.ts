import type { Call } from "./config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { removeRecord } from "./del.ts";
import { toCniError } from "./errors.ts";
import { type Node, takeLock } from "./node.ts";
import { restoreDevices } from "./restore.ts";
import type { StateEntry } from "./state.ts";

/**
 * Restores and removes what this network's attachments left that are no longer valid. Goes on after a failure.
 *
 * @throws {CniError} code 120 with all failures
 */
export function gc({ config, log }: Call, node: Node): void {
  const { kernel, state } = node;
  const { validAttachments, name: network } = config;
  if (!validAttachments) return log.warning('No "cni.dev/valid-attachments": nothing is collected');
  if (!state.exists()) return;
  using _lock = takeLock(kernel, state.directory);
  state.removeLeftovers();
  const valid = new Set(
    validAttachments.map(({ containerID, ifname }) => state.fileOf({ network, containerID, ifname })),
  );
  const failures: string[] = [];
  for (const entry of state.list()) {
    if (valid.has(entry.file) || !belongsTo(network, entry)) continue;
    try {
      log.info(`Attachment ${entry.file} is no longer valid`);
      // Read once more: what was done for another record may have changed this one.
      const { record, fault } = state.read(entry.file);
      if (record && !restoreDevices(node, log, entry.file, record, "")) continue;
      if (!record) log.warning(fault?.message ?? `Record ${entry.file} has gone`);
      removeRecord(node, log, entry.file);
    } catch (error) {
      const { message } = toCniError(error) as Error;
      failures.push(`${entry.file}: ${message}`);
    }
  }
  if (failures.length === 0) return;
  throw new CniError(
    ErrorCode.kernelRefused,
    `Cannot collect ${failures.length} attachments of network ${JSON.stringify(network)}: ${
      failures.join("; ")
    }`,
    "the others are done; run GC again when the cause is fixed",
  );
}

/**
 * Whether a record is of this network. Where it does not say (1.0, or unreadable) its file's name must, and that can
 * be split in one way only if the container id has the form that container runtimes give it.
 */
function belongsTo(network: string, { file, record }: StateEntry): boolean {
  if (record?.attachment) return record.attachment.network === network;
  return file.startsWith(`${network}-`) && /^[0-9a-f]{64}-/.test(file.slice(network.length + 1));
}
