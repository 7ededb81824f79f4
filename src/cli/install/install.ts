import { isRunning } from "../../kernel/processes.ts";
import { ifPresent } from "../../sys/files.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { printJson, type Terminal } from "../terminal.ts";
import { removeLeftovers, toInstallError } from "./files.ts";
import {
  assertOwnDirectory,
  assertPluginDirectory,
  isProgramName,
  lockDirectory,
  type Locks,
  ownDirectoryIn,
  pluginIn,
  type Sources,
} from "./layout.ts";
import { partsIn } from "./parts.ts";
import { messageOf } from "../../sys/errno.ts";

/** How a command goes about it. */
export interface Options {
  /** Only tell what would be done. */
  readonly dryRun?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** What became of a file. */
export interface FileOutcome {
  readonly path: string;
  readonly state: "installed" | "replaced" | "already there" | "removed" | "in use" | "not there";
}

/** Tells people what became of a file. */
export function tellFile(terminal: Terminal, { path, state }: FileOutcome, { dryRun }: Options): void {
  const isDone = dryRun !== true || state.endsWith("there");
  terminal.err(`${path}: ${isDone ? state : `would be ${state}`}\n`);
}

/** Tells machines, if they want it, what became of all files. */
export function printOutcome(
  terminal: Terminal,
  files: readonly FileOutcome[],
  { dryRun = false, json = false }: Options,
): void {
  if (json) printJson(terminal, { dryRun, files });
}

/** `install --check`: one line on standard output and the exit code tell whether all is as `install` would leave it. */
export function checkInstalled(
  terminal: Terminal,
  directory: string,
  sources: Sources,
  { json = false }: { readonly json?: boolean | undefined },
): ExitCode {
  const fault = findFault(directory, sources);
  const ok = fault === undefined;
  const reason = fault ?? `${directory} has this plugin and its library`;
  if (json) printJson(terminal, { ok, reason });
  else terminal.out(`${ok ? "ok" : "failed"}: ${reason}\n`);
  return ok ? ExitCode.ok : ExitCode.failed;
}

function findFault(directory: string, sources: Sources): string | undefined {
  try {
    assertPluginDirectory(directory);
    assertOwnDirectory(directory);
    for (const { path, difference } of partsIn(directory, sources)) {
      if (difference) return `${path} ${difference.text}`;
    }
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** How often, and for how long, it is looked whether somebody still runs an older version. */
const RETRY_MS = 100;
const RETIREMENT_MS = 10_000;

/**
 * `install`: puts this program, the libmnl that it uses and the launcher into a directory of plugins. What is as it should
 * be is left alone, and older versions are removed.
 *
 * @throws {CommandError} when it cannot be done; then the plugin that was there works as before
 */
export function install(
  terminal: Terminal,
  kernel: Locks,
  directory: string,
  sources: Sources,
  options: Options,
): void {
  assertRoot();
  assertPluginDirectory(directory);
  assertNoDirectory(pluginIn(directory));
  const own = ownDirectoryIn(directory);
  const files: FileOutcome[] = [];
  const tell = (file: FileOutcome) => {
    tellFile(terminal, file, options);
    files.push(file);
  };
  using _lock = options.dryRun ? undefined : lockDirectory(kernel, directory);
  if (!assertOwnDirectory(directory) && !options.dryRun) makeOwnDirectory(own);
  if (!options.dryRun) clean(directory);
  const program = putParts(directory, sources, options, tell);
  const older = olderThan(program, own);
  if (!options.dryRun) retire(kernel, older, tell);
  else for (const path of older) tell({ path, state: "removed" });
  printOutcome(terminal, files, options);
}

/** Returns the path of the program that is installed then. */
function putParts(
  directory: string,
  sources: Sources,
  { dryRun }: Options,
  tell: (file: FileOutcome) => void,
): string {
  let program = "";
  try {
    for (const { path, difference, place } of partsIn(directory, sources)) {
      if (isProgramName(nameOf(path))) program = path;
      if (difference && !dryRun) attempt("install", path, place);
      tell({ path, state: !difference ? "already there" : difference.isAbsent ? "installed" : "replaced" });
    }
  } catch (error) {
    throw toInstallError("install", pluginIn(directory), error);
  }
  return program;
}

function attempt(task: string, path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw toInstallError(task, path, error);
  }
}

/** The other programs that are installed. */
function olderThan(program: string, own: string): string[] {
  const entries = ifPresent(() => [...Deno.readDirSync(own)]) ?? [];
  return entries.filter(({ name, isFile }) => isFile && isProgramName(name))
    .map(({ name }) => `${own}/${name}`).filter((path) => path !== program).sort();
}

/**
 * Removes programs that nobody runs any more. A call may be about to start one, since it has just read the link, and a
 * program that `deno compile` made opens itself by its path once more when it starts. So it waits first. What still runs
 * after a while is left to the next installation.
 */
function retire(kernel: Locks, programs: readonly string[], tell: (file: FileOutcome) => void): void {
  let left = programs;
  for (let waitedMs = 0; left.length > 0 && waitedMs < RETIREMENT_MS; waitedMs += RETRY_MS) {
    kernel.sleep(RETRY_MS);
    const running = left.filter(isRunning);
    for (const path of left.filter((path) => !running.includes(path))) {
      attempt("remove", path, () => Deno.removeSync(path));
      tell({ path, state: "removed" });
    }
    left = running;
  }
  for (const path of left) tell({ path, state: "in use" });
}

/** Removes what crashes left. */
function clean(directory: string): void {
  const isOurs = (name: string) => name === "libmnl.so.0" || name === "current" || isProgramName(name);
  attempt("clean", directory, () => {
    removeLeftovers(directory, (name) => name === nameOf(pluginIn(directory)));
    removeLeftovers(ownDirectoryIn(directory), isOurs);
  });
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function assertRoot(): void {
  const uid = Deno.uid();
  if (uid === 0) return;
  throw new CommandError(
    `Cannot install as user ${uid}: the plugin would be that user's, who could replace it`,
    "Run this as root.",
  );
}

/** A file or a link in the plugin's place can be replaced at once; a directory cannot. */
function assertNoDirectory(path: string): void {
  if (!ifPresent(() => Deno.lstatSync(path))?.isDirectory) return;
  throw new CommandError(
    `Cannot install ${JSON.stringify(path)}: a directory of that name is there`,
    "Look at what is in it, then move it away.",
  );
}

function makeOwnDirectory(path: string): void {
  attempt("make directory", path, () => {
    Deno.mkdirSync(path);
    Deno.chmodSync(path, 0o755); // whatever the umask
  });
}
