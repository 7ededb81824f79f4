import type { Kernel } from "../kernel/kernel.ts";
import { openRecorded } from "./namespaces.ts";
import type { Node } from "./node.ts";
import type { AttachmentRecord } from "./record.ts";

/** A record of this boot that says an attachment has a function. */
export interface Claim {
  readonly file: string;
  readonly record: AttachmentRecord;
}

/**
 * What other attachments claim a function.
 *
 * @param file the name of the record that is not asked about: the attachment's own
 */
export function listClaims(
  { kernel, state }: Pick<Node, "kernel" | "state">,
  file: string,
  deviceId: string,
): Claim[] {
  return state.list().flatMap((entry) => {
    const { record } = entry;
    if (entry.file === file || record?.deviceId !== deviceId) return [];
    const isOfThisBoot = record.bootId === undefined || record.bootId === kernel.getBootId();
    return isOfThisBoot ? [{ file: entry.file, record }] : [];
  });
}

/** The claims of newer attachments: kubelet may delete an old pod after a new one got its function. */
export function listNewerClaims(node: Node, file: string, record: AttachmentRecord): Claim[] {
  return listClaims(node, file, record.deviceId).filter((claim) => isNewer(node.kernel, claim, record));
}

/** The claim of a newer attachment, if there is any. */
export function findNewerClaim(node: Node, file: string, record: AttachmentRecord): Claim | undefined {
  return listNewerClaims(node, file, record)[0];
}

/**
 * The clock can be set back, so it does not decide, unless both records are of earlier builds, which wrote no other time.
 * Records of version 1.0 have neither a time nor a namespace: a claim whose namespace lives comes before them.
 */
function isNewer(kernel: Kernel, claim: Claim, record: AttachmentRecord): boolean {
  const { record: other } = claim;
  if (!other.netns) return false;
  if (!record.netns) return isAlive(kernel, claim);
  if (other.bootTimeUs === undefined && record.bootTimeUs === undefined) {
    return other.createdAt >= record.createdAt;
  }
  return (other.bootTimeUs ?? 0) >= (record.bootTimeUs ?? 0);
}

/** Whether the path of a claim's namespace still leads there; of a record of version 1.0 nobody can tell. */
export function isAlive(kernel: Kernel, { record: { netns: recorded } }: Claim): boolean {
  using netns = recorded && openRecorded(kernel, recorded);
  return netns !== undefined;
}

/** Who claims, and the namespace that it has. */
export function describeClaim({ file, record }: Claim): string {
  if (!record.attachment) return `attachment ${file} has it`;
  const { network, containerID, ifname } = record.attachment;
  return `container ${JSON.stringify(containerID)} has it as ${JSON.stringify(ifname)} on network ` +
    `${JSON.stringify(network)}, in ${record.netns?.path}`;
}
