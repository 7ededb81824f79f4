import { ExitCode } from "../error.ts";
import { printJson, type Terminal } from "../terminal.ts";
import { findDifference } from "./difference.ts";
import { assertOwnFolder, assertPluginFolder } from "./folder.ts";
import { copiesIn, type Sources } from "./layout.ts";

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
    for (const copy of copiesIn(folder, sources)) {
      const difference = findDifference(copy);
      if (difference) return `${copy.target} ${difference.text}`;
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
