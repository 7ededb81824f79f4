/** `install` and `install --check`. */
import { isRunning } from "../../kernel/processes.ts";
import { messageOf } from "../../sys/errno.ts";
import { ifPresent } from "../../sys/files.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { type Format, printAs } from "../output.ts";
import { printNote, type Terminal } from "../terminal.ts";
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

/** How often, and for how long, to check whether somebody still runs an older version. */
const RETRY_MS = 100;
const RETIREMENT_MS = 10_000;

/** Options of `install` and `install --uninstall`. */
export interface Options {
  /** Only print what would be done. */
  readonly dryRun?: boolean | undefined;
  readonly output?: Format;
}

/** What became of a file. */
export interface FileOutcome {
  readonly path: string;
  readonly state: "installed" | "replaced" | "already there" | "removed" | "in use" | "not there";
}

/** Prints what became of a file. */
export function printFile(terminal: Terminal, { path, state }: FileOutcome, { dryRun }: Options): void {
  const isDone = dryRun !== true || state.endsWith("there");
  printNote(terminal, `${path}: ${isDone ? state : `would be ${state}`}\n`);
}

/** Prints what became of all files, for programs. */
export function printOutcome(
  terminal: Terminal,
  files: readonly FileOutcome[],
  { dryRun = false, output = "table" }: Options,
): void {
  printAs(terminal, output, { dryRun, files });
}

/**
 * `install --check`: prints one line, and returns whether all is as `install` would leave it. The DaemonSet does this
 * every minute, so it does not read the whole program.
 */
export function checkInstalled(
  terminal: Terminal,
  directory: string,
  sources: Sources,
  { output = "table" }: Pick<Options, "output">,
): ExitCode {
  const fault = findFault(directory, sources);
  const ok = fault === undefined;
  const reason = fault ?? `${directory} has this plugin and its library`;
  printAs(terminal, output, { ok, reason }, () => terminal.out(`${ok ? "ok" : "failed"}: ${reason}\n`));
  return ok ? ExitCode.ok : ExitCode.failed;
}

/**
 * `install`: installs this program, the libmnl that it uses and the launcher in a plugin directory. Leaves
 * alone what is already right, and removes older versions.
 *
 * @throws {CommandError} when this fails; then the plugin that was there works as before
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
  const report = (file: FileOutcome) => {
    printFile(terminal, file, options);
    files.push(file);
  };
  using _lock = options.dryRun ? undefined : lockDirectory(kernel, directory);
  if (!assertOwnDirectory(directory) && !options.dryRun) makeOwnDirectory(own);
  if (!options.dryRun) clean(directory);
  const program = installParts(directory, sources, options, report);
  const older = olderThan(program, own);
  if (!options.dryRun) retire(kernel, older, report);
  else for (const path of older) report({ path, state: "removed" });
  printOutcome(terminal, files, options);
}

function findFault(directory: string, sources: Sources): string | undefined {
  try {
    assertPluginDirectory(directory);
    assertOwnDirectory(directory);
    for (const { path, difference } of partsIn(directory, sources, { isQuick: true })) {
      if (difference) return `${path} ${difference.text}: install again`;
    }
    return undefined;
  } catch (error) {
    const { advice } = error as Partial<CommandError>;
    return [messageOf(error), advice].filter(Boolean).join(". ");
  }
}

/** @returns the path of the installed program */
function installParts(
  directory: string,
  sources: Sources,
  { dryRun }: Options,
  report: (file: FileOutcome) => void,
): string {
  let program = "";
  try {
    for (const { path, difference, place } of partsIn(directory, sources)) {
      if (isProgramName(nameOf(path))) program = path;
      if (difference && !dryRun) attempt("install", path, place);
      report({ path, state: !difference ? "already there" : difference.isAbsent ? "installed" : "replaced" });
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
 * Removes programs that nobody runs any more. Waits first, since a call that has just read the link may be
 * about to start one, and a program that `deno compile` made opens its own path again when it starts. What
 * still runs after a while is left to the next installation.
 */
function retire(kernel: Locks, programs: readonly string[], report: (file: FileOutcome) => void): void {
  let left = programs;
  for (let waitedMs = 0; left.length > 0 && waitedMs < RETIREMENT_MS; waitedMs += RETRY_MS) {
    kernel.sleep(RETRY_MS);
    const running = left.filter(isRunning);
    for (const path of left.filter((path) => !running.includes(path))) {
      attempt("remove", path, () => Deno.removeSync(path));
      report({ path, state: "removed" });
    }
    left = running;
  }
  for (const path of left) report({ path, state: "in use" });
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
    `Cannot install as user ${uid}: the plugin would belong to that user, who could replace it`,
    "Run this as root.",
  );
}

/** A file or a link in the plugin's place can be replaced atomically; a directory cannot. */
function assertNoDirectory(path: string): void {
  if (!ifPresent(() => Deno.lstatSync(path))?.isDirectory) return;
  throw new CommandError(
    `Cannot install ${JSON.stringify(path)}: it is a directory`,
    "Look at what is in it, then move it away.",
  );
}

function makeOwnDirectory(path: string): void {
  attempt("create directory", path, () => {
    Deno.mkdirSync(path);
    Deno.chmodSync(path, 0o755); // whatever the umask
  });
}
