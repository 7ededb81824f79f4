/** The node that `doctor` examines, and what it finds. */
import { CniError, ErrorCode } from "../../cni/error.ts";
import { LibmnlMissing } from "../../kernel/kernel.ts";
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { toCniError } from "../../plugin/errors.ts";
import { isPermission, messageOf } from "../../sys/errno.ts";
import { CommandError } from "../errors.ts";
import { problem, type Verdict } from "../report.ts";

/** The node to examine. */
export interface ExaminedNode {
  readonly kernel: NodeKernel;
  /** The directory that stands for "/". */
  readonly root: string;
  /** The command that starts this program, for commands that fix something. */
  readonly executable: string;
  /** The directory of CNI plugins, as the runtime sees it, if it was named. */
  readonly cniBinDir?: string | undefined;
}

/** The groups of findings, in the order in which they are printed. */
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

/**
 * Examines a group. An error is a finding too, so that the other groups are still examined. A missing libmnl is one of its
 * own group alone.
 */
export async function examine(
  group: Group,
  work: () => readonly Verdict[] | Promise<readonly Verdict[]>,
): Promise<Finding[]> {
  let verdicts: readonly Verdict[];
  try {
    verdicts = await work();
  } catch (error) {
    verdicts = error instanceof LibmnlMissing ? [] : [judgeError(error)];
  }
  return verdicts.map((verdict) => ({ group, ...verdict }));
}

function judgeError(error: unknown): Verdict {
  if (error instanceof CommandError) return problem(error.message, toFix(error.advice));
  const known = toCniError(error);
  const text = messageOf(known);
  if (isPermission(error)) return problem(text, "# run it as root, with all capabilities");
  if (!(known instanceof CniError)) return problem(text, toFix(undefined));
  if (known.code === ErrorCode.rdmaUnavailable) {
    return problem("unknown: the kernel has no RDMA subsystem", "modprobe ib_core");
  }
  return problem(text, toFix(known.details));
}

function toFix(advice: string | undefined): string {
  return advice === undefined ? "dmesg # it may say why" : `# ${advice}`;
}
