/** Records of other attachments that have, or had, the same function. */
import type { Kernel } from "../../kernel/kernel.ts";
import { openRecorded } from "./namespaces.ts";
import type { Node } from "../node.ts";
import type { AttachmentRecord } from "./record.ts";
import type { StoredRecord } from "./state.ts";

/**
 * The records of this boot that say another attachment has a function.
 *
 * @param file the name of the attachment's own record
 */
export function listClaims(
  { kernel, state }: Pick<Node, "kernel" | "state">,
  file: string,
  deviceId: string,
): StoredRecord[] {
  return state.list().filter((record) => isClaim(record, { file, deviceId }, kernel.getBootId()));
}

/** Returns whether a record says that another attachment has the function. */
export function isClaim(
  record: StoredRecord,
  { file, deviceId }: Pick<StoredRecord, "file" | "deviceId">,
  bootId: string,
): boolean {
  const isOfThisBoot = record.bootId === undefined || record.bootId === bootId;
  return record.file !== file && record.deviceId === deviceId && isOfThisBoot;
}

/** The claims of other attachments on a record's function, read when they are first asked for. */
export class Claims {
  #all: StoredRecord[] | undefined;
  #newer: StoredRecord[] | undefined;

  constructor(readonly node: Node, readonly record: StoredRecord) {}

  get all(): readonly StoredRecord[] {
    return this.#all ??= listClaims(this.node, this.record.file, this.record.deviceId);
  }

  /** Those of newer attachments: kubelet may delete an old pod after a new one got its function. */
  get newer(): readonly StoredRecord[] {
    return this.#newer ??= this.all.filter((claim) =>
      isNewer(claim, this.record, (one) => isAlive(this.node.kernel, one))
    );
  }
}

/**
 * Returns whether a claim is of a newer attachment than a record.
 *
 * The clock can be set back, so it does not decide, unless both records are of earlier builds, which wrote no other
 * time. Records of version 1.0 have neither a time nor a namespace: a claim whose namespace lives goes before them.
 */
export function isNewer(
  claim: AttachmentRecord,
  record: AttachmentRecord,
  isAlive: (claim: AttachmentRecord) => boolean,
): boolean {
  if (!claim.netns) return false;
  if (!record.netns) return isAlive(claim);
  if (claim.bootTimeUs === undefined && record.bootTimeUs === undefined) {
    return claim.createdAt >= record.createdAt;
  }
  return (claim.bootTimeUs ?? 0) >= (record.bootTimeUs ?? 0);
}

/** Returns whether the path of a record's namespace still leads there; a record of version 1.0 does not say. */
export function isAlive(kernel: Kernel, { netns: recorded }: AttachmentRecord): boolean {
  using netns = recorded && openRecorded(kernel, recorded);
  return netns !== undefined;
}

/** Describes who has a function, and in which namespace. */
export function describeClaim({ file, attachment, netns }: StoredRecord): string {
  if (!attachment) return `attachment ${file} has it`;
  const { network, containerID, ifname } = attachment;
  return `container ${JSON.stringify(containerID)} has it as ${JSON.stringify(ifname)} on network ` +
    `${JSON.stringify(network)}, in ${netns?.path}`;
}
