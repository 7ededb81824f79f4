import { Buffer } from "node:buffer";
import type { State } from "../../plugin/record/state.ts";
import { directoryOf, ifPresent, syncDirectory } from "../../sys/files.ts";
import { EXECUTABLE_MARKER } from "../../version.ts";
import { CommandError } from "../errors.ts";
import type { Reporter, Result } from "../terminal.ts";
import { readTail, toInstallError } from "./files.ts";
import { FileReport, type Options } from "./install.ts";
import { assertPluginDirectory, lockDirectory, type Locks, ownDirectoryIn, pluginIn } from "./layout.ts";

/** The number of records that an error names. */
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
  reporter: Reporter,
  kernel: Locks,
  directory: string,
  state: State,
  { dryRun = false, force = false }: UninstallOptions = {},
): Result {
  assertPluginDirectory(directory);
  using _lock = dryRun ? undefined : lockDirectory(kernel, directory);
  const plugin = pluginIn(directory);
  if (isThere(plugin)) {
    assertOurs(plugin);
    if (!force) assertUnneeded(plugin, state);
  }
  const report = new FileReport(reporter, dryRun);
  for (const path of [plugin, ownDirectoryIn(directory)]) {
    const state = isThere(path) ? "removed" : "not there";
    if (state === "removed" && !dryRun) remove(path);
    report.add({ path, state });
  }
  if (!dryRun) syncDirectory(directory);
  return report.toResult();
}

function isThere(path: string): boolean {
  return ifPresent(() => Deno.lstatSync(path)) !== undefined;
}

function assertOurs(plugin: string): void {
  if (Deno.lstatSync(plugin).isFile && recognize(plugin) !== "other") return;
  throw new CommandError(
    `Cannot remove ${JSON.stringify(plugin)}: it is another program`,
    `If it is to go all the same, remove it by hand. What this one has left is in ${
      JSON.stringify(ownDirectoryIn(directoryOf(plugin)))
    }.`,
  );
}

/** A record is kept until the DEL of its pod, which needs the plugin. */
function assertUnneeded(plugin: string, state: State): void {
  const records = state.listFiles().map(({ file }) => file);
  if (records.length === 0) return;
  const named = records.slice(0, NAMED).join(", ") + (records.length > NAMED ? ", ..." : "");
  const count = records.length === 1
    ? "the record of a pod that needs"
    : `${records.length} records of pods that need`;
  throw new CommandError(
    `Cannot remove ${JSON.stringify(plugin)}: ${state.directory} has ${count} it for DEL: ${named}`,
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

/** Words that every launcher has (launcher.c), and more bytes than any has. */
const MARK = "rdma-cni launcher";
const LAUNCHER_LIMIT = 16 * 1024;

/**
 * Recognizes a file by its bytes: a launcher or this program, each of whatever version, or something else. Running it
 * to ask would take trust in what it is.
 *
 * @throws {Error} as Deno does when it cannot be read
 */
export function recognize(path: string): "launcher" | "program" | "other" {
  const tail = Buffer.from(readTail(path)).toString("latin1");
  if (tail.length <= LAUNCHER_LIMIT && tail.startsWith("\x7fELF") && tail.includes(MARK)) return "launcher";
  // The marker in the program's text, and 24 bytes that `deno compile` puts at the end, which begin so.
  return tail.slice(-24).startsWith("d3n0l4nd") && tail.includes(EXECUTABLE_MARKER) ? "program" : "other";
}
