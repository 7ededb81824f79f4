import type { AdminKernel } from "../../kernel/admin_kernel.ts";

/** The node that is examined. */
export interface Node {
  readonly kernel: AdminKernel;
  /** The folder that all files are looked for below; "" is the node's own root. */
  readonly root: string;
  /** What starts this program, for the commands that fix something. */
  readonly executable: string;
}

/** A path as a word for the shell. */
export function quote(path: string): string {
  return /^[\w./:@+-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
