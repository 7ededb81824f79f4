import type { AdminKernel } from "../kernel/admin_kernel.ts";
import { ExitCode } from "./error.ts";
import { printJson, type Terminal } from "./terminal.ts";

/** `netns-mode get`: prints the RDMA subsystem's namespace mode. */
export function getMode(kernel: AdminKernel, terminal: Terminal, { json = false } = {}): ExitCode {
  const mode = kernel.getRdmaMode();
  if (json) printJson(terminal, { mode });
  else terminal.out(`${mode}\n`);
  return ExitCode.ok;
}
