import { ifPresent } from "../../durable_file.ts";
import { CommandError } from "../error.ts";
import type { Terminal } from "../terminal.ts";
import { findDifference } from "./difference.ts";
import { toInstallError } from "./failure.ts";
import { assertOwnFolder, assertPluginFolder } from "./folder.ts";
import { copiesIn, type Copy, ownFolderIn, pluginIn, type Sources } from "./layout.ts";
import { type FileOutcome, type Options, printOutcome, tellFile } from "./outcome.ts";
import { place, removeLeftovers } from "./place.ts";
import { assertRunnable } from "./runnable.ts";

/**
 * `install`: copies this program, and the libmnl that it uses, into a folder of plugins. Files that are as they should
 * be are left alone.
 *
 * @throws {CommandError} when it cannot be done; then each file is the old one or the new one, whole
 */
export function install(
  terminal: Terminal,
  folder: string,
  sources: Sources,
  options: Options,
): void {
  assertRoot();
  assertPluginFolder(folder);
  assertNoFolder(pluginIn(folder));
  if (!assertOwnFolder(folder) && !options.dryRun) makeOwnFolder(ownFolderIn(folder));
  const files: FileOutcome[] = [];
  for (const copy of copiesIn(folder, sources)) {
    const file = { path: copy.target, state: bring(copy, copy.source === sources.executable, options) };
    tellFile(terminal, file, options);
    files.push(file);
  }
  printOutcome(terminal, files, options);
}

function bring(copy: Copy, isProgram: boolean, { dryRun }: Options): FileOutcome["state"] {
  try {
    if (!dryRun) removeLeftovers(copy.target);
    const difference = findDifference(copy);
    if (!difference) return "already there";
    if (!dryRun) place(copy, isProgram ? assertRunnable : undefined);
    return difference.isAbsent ? "installed" : "replaced";
  } catch (error) {
    throw toInstallError("install", copy.target, error);
  }
}

function assertRoot(): void {
  const uid = Deno.uid();
  if (uid === 0) return;
  throw new CommandError(
    `Cannot install as user ${uid}: the plugin would be that user's, who could replace it`,
    "Run this as root.",
  );
}

/** A file or a link in the plugin's place can be replaced at once; a folder cannot. */
function assertNoFolder(path: string): void {
  if (!ifPresent(() => Deno.lstatSync(path))?.isDirectory) return;
  throw new CommandError(
    `Cannot install ${JSON.stringify(path)}: a folder of that name is there`,
    "Look at what is in it, then move it away.",
  );
}

function makeOwnFolder(path: string): void {
  try {
    Deno.mkdirSync(path);
    Deno.chmodSync(path, 0o755); // whatever the umask
  } catch (error) {
    // Another installer was faster; what it made is as good.
    if (!(error instanceof Deno.errors.AlreadyExists)) throw toInstallError("make folder", path, error);
  }
}
