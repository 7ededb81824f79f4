import type { AdminKernel } from "../../kernel/admin_kernel.ts";
import type { RdmaMode } from "../../kernel/kernel.ts";
import { ExitCode } from "../error.ts";
import { toCommandError } from "../failure.ts";
import { printJson, type Terminal } from "../terminal.ts";
import { tellingOldKernel } from "./old_kernel.ts";

/** `netns-mode check`: one line on standard output and the exit code tell whether the mode is the expected one. */
export function checkMode(
  kernel: AdminKernel,
  terminal: Terminal,
  { expect, json = false }: { readonly expect: RdmaMode; readonly json?: boolean | undefined },
): ExitCode {
  const { mode, reason } = look(kernel, expect);
  const ok = mode === expect;
  if (json) printJson(terminal, { ok, mode: mode ?? null, expected: expect, reason });
  else terminal.out(`${ok ? "ok" : "failed"}: ${reason}\n`);
  return ok ? ExitCode.ok : ExitCode.failed;
}

function look(kernel: AdminKernel, expected: RdmaMode): { mode?: RdmaMode; reason: string } {
  try {
    const mode = tellingOldKernel(() => kernel.getRdmaMode());
    const wanted = mode === expected ? "" : `, want ${expected}`;
    return { mode, reason: `the RDMA namespace mode is ${mode}${wanted}` };
  } catch (error) {
    const told = toCommandError(error) as Error & { readonly advice?: string };
    return { reason: [told.message, told.advice].filter(Boolean).join(". ") };
  }
}
