import { ExitCode } from "../error.ts";
import { printJson, type Terminal } from "../terminal.ts";
import { assertOwnFolder, assertPluginFolder } from "./folder.ts";
import type { Sources } from "./layout.ts";
import { partsIn } from "./parts.ts";

/** `install --check`: one line on standard output and the exit code tell whether all is as `install` would leave it. */
export function checkInstalled(
  terminal: Terminal,
  folder: string,
  sources: Sources,
  { json = false }: { readonly json?: boolean | undefined },
): ExitCode {
  const fault = findFault(folder, sources);
  const ok = fault === undefined;
  const reason = fault ?? `${folder} has this plugin and its library`;
  if (json) printJson(terminal, { ok, reason });
  else terminal.out(`${ok ? "ok" : "failed"}: ${reason}\n`);
  return ok ? ExitCode.ok : ExitCode.failed;
}

function findFault(folder: string, sources: Sources): string | undefined {
  try {
    assertPluginFolder(folder);
    assertOwnFolder(folder);
    for (const { path, difference } of partsIn(folder, sources)) {
      if (difference) return `${path} ${difference.text}`;
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
