import type { AdminKernel } from "../kernel/admin_kernel.ts";
import type { ExitCode } from "./error.ts";
import type { Terminal } from "./terminal.ts";

/** What commands work on. */
export interface Context {
  readonly kernel: AdminKernel;
  readonly terminal: Terminal;
  /** Called by a command with how it ended. */
  readonly exit: (code: ExitCode) => void;
}
