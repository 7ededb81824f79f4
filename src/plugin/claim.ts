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
    return (record.bootId ?? kernel.bootId) === kernel.bootId ? [{ file: entry.file, record }] : [];
  });
}

/** The claims of newer attachments: kubelet may delete an old pod after a new one got its function. */
export function listNewerClaims(node: Node, file: string, record: AttachmentRecord): Claim[] {
  return listClaims(node, file, record.deviceId).filter((claim) =>
    claim.record.createdAt >= record.createdAt
  );
}

/** The claim of a newer attachment, if there is any. */
export function findNewerClaim(node: Node, file: string, record: AttachmentRecord): Claim | undefined {
  return listNewerClaims(node, file, record)[0];
}

/** Who claims, and the namespace that it has. */
export function describeClaim({ file, record }: Claim): string {
  if (!record.attachment) return `attachment ${file} has it`;
  const { network, containerID, ifname } = record.attachment;
  return `container ${JSON.stringify(containerID)} has it as ${JSON.stringify(ifname)} on network ` +
    `${JSON.stringify(network)}, in ${record.netns?.path}`;
}
