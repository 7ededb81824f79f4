import { folderOf, ifPresent, syncFolder } from "../../durable_file.ts";
import type { State } from "../../plugin/state.ts";
import { CommandError } from "../error.ts";
import type { Terminal } from "../terminal.ts";
import { toInstallError } from "./failure.ts";
import { assertPluginFolder, lockFolder, type Locks } from "./folder.ts";
import { ownFolderIn, pluginIn } from "./layout.ts";
import { recognize } from "./own_program.ts";
import { type FileOutcome, type Options, printOutcome, tellFile } from "./outcome.ts";

/** So many records are named. */
const NAMED = 3;

export interface UninstallOptions extends Options {
  /** Also when pods still need the plugin. */
  readonly force?: boolean | undefined;
}

/**
 * `install --uninstall`: removes the plugin, of whatever version, and then what it starts.
 *
 * @throws {CommandError} when another program is in the plugin's place, or pods need it for their DEL
 */
export function uninstall(
  terminal: Terminal,
  kernel: Locks,
  folder: string,
  state: State,
  options: UninstallOptions,
): void {
  assertPluginFolder(folder);
  using _lock = options.dryRun ? undefined : lockFolder(kernel, folder);
  const plugin = pluginIn(folder);
  if (isThere(plugin)) {
    assertOurs(plugin);
    if (!options.force) assertUnneeded(plugin, state);
  }
  const files: FileOutcome[] = [plugin, ownFolderIn(folder)].map((path) => {
    const file = { path, state: isThere(path) ? "removed" : "not there" } as const;
    if (file.state === "removed" && !options.dryRun) remove(path);
    tellFile(terminal, file, options);
    return file;
  });
  if (!options.dryRun) syncFolder(folder);
  printOutcome(terminal, files, options);
}

function isThere(path: string): boolean {
  return ifPresent(() => Deno.lstatSync(path)) !== undefined;
}

function assertOurs(plugin: string): void {
  if (Deno.lstatSync(plugin).isFile && recognize(plugin) !== "other") return;
  throw new CommandError(
    `Cannot remove ${JSON.stringify(plugin)}: it is another program`,
    `If it is to go all the same, remove it by hand. What this one has left is in ${
      JSON.stringify(ownFolderIn(folderOf(plugin)))
    }.`,
  );
}

/** A record is kept until the DEL of its pod, which needs the plugin. */
function assertUnneeded(plugin: string, state: State): void {
  const records = state.list().map(({ file }) => file);
  if (records.length === 0) return;
  const named = records.slice(0, NAMED).join(", ") + (records.length > NAMED ? ", ..." : "");
  throw new CommandError(
    `Cannot remove ${
      JSON.stringify(plugin)
    }: ${state.folder} has ${records.length} records of pods that need it ` +
      `for their DEL: ${named}`,
    "Drain the node first. With --force it is removed now, and these pods cannot be deleted until it is back.",
  );
}

function remove(path: string): void {
  try {
    ifPresent(() => Deno.removeSync(path, { recursive: true }));
  } catch (error) {
    throw toInstallError("remove", path, error);
  }
}
