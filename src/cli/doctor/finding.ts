/** What the parts of `doctor` examine and find. */
import { CniError, ErrorCode } from "../../cni/error.ts";
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { toCniError } from "../../plugin/errors.ts";
import { messageOf } from "../../sys/errno.ts";
import { CommandError, isPermission } from "../errors.ts";
import type { Verdict } from "../report.ts";

export { quote } from "../../node/fate.ts";

/** The node to examine. */
export interface Node {
  readonly kernel: NodeKernel;
  /** The directory that stands for "/". */
  readonly root: string;
  /** How to start this program, for commands that fix something. */
  readonly executable: string;
  /** The directory of CNI plugins, as the runtime sees it, if it was named. */
  readonly cniBinDir?: string | undefined;
}

/** What findings are about, in the order in which they are printed. */
export const GROUPS = [
  "kernel",
  "modules",
  "mode",
  "libmnl",
  "sriov",
  "vfs",
  "devices",
  "records",
  "networks",
  "plugin",
  "multus",
  "runtime",
] as const;

export type Group = typeof GROUPS[number];

/** A line of the output. */
export interface Finding extends Verdict {
  readonly group: Group;
}

export function ok(group: Group, text: string): Finding {
  return { group, level: "ok", text };
}

export function warning(group: Group, text: string, fix: string): Finding {
  return { group, level: "warning", text, fix };
}

export function problem(group: Group, text: string, fix: string): Finding {
  return { group, level: "problem", text, fix };
}

/** Examines a group. An error is a finding too, so that the other groups are still examined. */
export async function examine(
  group: Group,
  work: () => readonly Finding[] | Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  try {
    return await work();
  } catch (error) {
    return [unreadable(group, error)];
  }
}

function unreadable(group: Group, error: unknown): Finding {
  if (error instanceof CommandError) {
    return problem(group, error.message, error.advice ?? "see the kernel log");
  }
  const known = toCniError(error);
  const text = messageOf(known);
  if (isPermission(error)) return problem(group, text, "run it as root, with all capabilities");
  if (!(known instanceof CniError)) return problem(group, text, "repair what prevents it");
  if (known.code === ErrorCode.rdmaUnavailable) {
    return problem(group, "unknown: the kernel has no RDMA subsystem", "modprobe ib_core");
  }
  return problem(group, text, known.details ?? "see the kernel log");
}
