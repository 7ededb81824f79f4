import type { Kernel, Netns } from "../../kernel/kernel.ts";
import type { Log } from "../../log.ts";
import { NetnsError } from "../../sys/netns.ts";
import type { AttachmentRecord, RecordedNetns } from "./record.ts";

/** The namespace of a record, if its path still leads to it. */
export function openRecorded(kernel: Kernel, recorded: RecordedNetns): Netns | undefined {
  const netns = openIfThere(kernel, recorded.path);
  return netns && keepIf(netns, () => isRecorded(netns, recorded));
}

/** Returns whether an open namespace is the recorded one. */
export function isRecorded(netns: Netns, recorded: RecordedNetns): boolean {
  return isSameNetns({ inode: netns.inode, cookie: netns.getCookie() }, recorded);
}

/** The identity of a namespace; the kernel has no cookies before 5.14. */
interface NetnsIdentity {
  readonly inode: number;
  readonly cookie?: string | undefined;
}

/** Inode numbers are used again after a namespace has gone, cookies never. */
export function isSameNetns(one: NetnsIdentity, other: NetnsIdentity): boolean {
  if (one.cookie !== undefined && other.cookie !== undefined) return one.cookie === other.cookie;
  return one.inode === other.inode;
}

/** The namespace that the devices were moved to, by the runtime's path or else by the recorded one. */
export function openByPath(
  kernel: Kernel,
  log: Log,
  record: AttachmentRecord,
  netnsPath: string,
): Netns | undefined {
  for (const path of [netnsPath, record.netns?.path ?? ""]) {
    const netns = openIfThere(kernel, path);
    if (!netns) continue;
    if (keepIf(netns, () => !record.netns || isRecorded(netns, record.netns))) return netns;
    log.info(`${JSON.stringify(path)} is another network namespace by now`);
  }
  return undefined;
}

/** A namespace, or undefined when the path is empty or leads to none. */
export function openIfThere(kernel: Kernel, path: string): Netns | undefined {
  if (!path) return undefined;
  try {
    return kernel.openNetns(path);
  } catch (error) {
    if (error instanceof NetnsError) return undefined;
    throw error;
  }
}

/**
 * Returns an open namespace if something holds of it, and closes it otherwise, also when that cannot be found out: in a
 * process that goes on, such as the agent, it would live on for good, with all devices in it.
 */
export function keepIf(netns: Netns, holds: () => boolean): Netns | undefined {
  using opened = new DisposableStack();
  opened.use(netns);
  if (!holds()) return undefined;
  opened.move();
  return netns;
}
