import type { AdminKernel } from "../../kernel/admin_kernel.ts";
import { ExitCode } from "../error.ts";
import { printJson, type Terminal } from "../terminal.ts";
import { tellingOldKernel } from "./old_kernel.ts";
import { isChangeable } from "./others.ts";
import { readPersistedMode } from "./persisted.ts";

/**
 * `netns-mode get`: prints the RDMA subsystem's namespace mode; as JSON, also what it will be after the next load of
 * ib_core and whether it could be changed now.
 */
export function getMode(
  kernel: AdminKernel,
  terminal: Terminal,
  { json = false }: { readonly json?: boolean | undefined },
  root = "/",
): ExitCode {
  const mode = tellingOldKernel(() => kernel.getRdmaMode());
  if (!json) {
    terminal.out(`${mode}\n`);
    return ExitCode.ok;
  }
  const { mode: persisted, sources } = readPersistedMode(root);
  const others = kernel.listOtherNetns();
  printJson(terminal, {
    mode,
    persisted: { mode: persisted ?? null, sources },
    changeable: isChangeable(others) ?? null,
    otherNetns: others.namespaces,
  });
  return ExitCode.ok;
}
