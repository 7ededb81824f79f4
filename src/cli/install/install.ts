/** `install` and `install --check`. */
import { isRunning } from "../../kernel/processes.ts";
import { messageOf } from "../../sys/errno.ts";
import { ifPresent } from "../../sys/files.ts";
import { CommandError, ExitCode } from "../errors.ts";
import type { Reporter, Result } from "../terminal.ts";
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

/** The pause between checks whether somebody still runs an older version, and the time for all of them. */
const RETRY_MS = 100;
const RETIREMENT_MS = 10_000;

/** Options of `install` and `install --uninstall`. */
export interface Options {
  /** Only print what would be done. */
  readonly dryRun?: boolean | undefined;
}

/** A file, and what was done with it. */
export interface FileOutcome {
  readonly path: string;
  readonly state: "installed" | "replaced" | "already there" | "removed" | "in use" | "not there";
}

/** Says what became of each file, and returns all of them as the result. */
export class FileReport {
  readonly #files: FileOutcome[] = [];

  constructor(readonly reporter: Reporter, readonly dryRun = false) {}

  add(file: FileOutcome): void {
    const { path, state } = file;
    const isSettled = state.endsWith("there");
    this.reporter.remark(
      this.dryRun
        ? { plan: `${path}: ${isSettled ? state : `would be ${state}`}` }
        : { note: `${path}: ${state}` },
    );
    this.#files.push(file);
  }

  toResult(): Result {
    return { value: { dryRun: this.dryRun, files: this.#files } };
  }
}

/**
 * `install --check`: tells in one line whether all is as `install` would leave it. The DaemonSet does this every minute,
 * so it does not read the whole program.
 */
export function checkInstalled(directory: string, sources: Sources): Result {
  const fault = findFault(directory, sources);
  if (!fault) {
    const reason = `${directory} has this plugin and its library`;
    return { value: { ok: true, reason, fix: null }, text: () => [{ text: `ok: ${reason}` }] };
  }
  const { text, ...told } = fault;
  return { code: ExitCode.failed, value: { ok: false, ...told }, text: () => [{ text: `failed: ${text}` }] };
}

/**
 * `install`: installs this program, the libmnl that it uses and the launcher in a plugin directory. Leaves
 * alone what is already right, and removes older versions.
 *
 * @throws {CommandError} when this fails; then the plugin that was there works as before
 */
export function install(
  reporter: Reporter,
  kernel: Locks,
  directory: string,
  sources: Sources,
  { dryRun = false }: Options = {},
): Result {
  assertRoot();
  assertPluginDirectory(directory);
  assertNoDirectory(pluginIn(directory));
  const own = ownDirectoryIn(directory);
  const report = new FileReport(reporter, dryRun);
  using _lock = dryRun ? undefined : lockDirectory(kernel, directory);
  if (!assertOwnDirectory(directory) && !dryRun) makeOwnDirectory(own);
  if (!dryRun) clean(directory);
  const program = installParts(directory, sources, report);
  const older = olderThan(program, own);
  if (!dryRun) retire(kernel, older, report);
  else for (const path of older) report.add({ path, state: "removed" });
  return report.toResult();
}

/** A fault of an installation: as a reason and its fix for programs, and as one text for people. */
interface Fault {
  readonly reason: string;
  readonly fix: string | null;
  readonly text: string;
}

function findFault(directory: string, sources: Sources): Fault | undefined {
  try {
    assertPluginDirectory(directory);
    assertOwnDirectory(directory);
    for (const { path, difference } of partsIn(directory, sources, { isQuick: true })) {
      if (!difference) continue;
      const reason = `${path} ${difference.text}`;
      return { reason, fix: `rdma-cni install --cni-bin-dir ${directory}`, text: `${reason}: install again` };
    }
    return undefined;
  } catch (error) {
    const { advice } = error as Partial<CommandError>;
    const reason = messageOf(error);
    return { reason, fix: advice ?? null, text: [reason, advice].filter(Boolean).join(". ") };
  }
}

/** @returns the path of the installed program */
function installParts(
  directory: string,
  sources: Sources,
  report: FileReport,
): string {
  let program = "";
  try {
    for (const { path, difference, place } of partsIn(directory, sources)) {
      if (isProgramName(baseName(path))) program = path;
      if (difference && !report.dryRun) attempt("install", path, place);
      report.add({
        path,
        state: !difference ? "already there" : difference.isAbsent ? "installed" : "replaced",
      });
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
function retire(kernel: Locks, programs: readonly string[], report: FileReport): void {
  let left = programs;
  for (let waitedMs = 0; left.length > 0 && waitedMs < RETIREMENT_MS; waitedMs += RETRY_MS) {
    kernel.sleep(RETRY_MS);
    const running = left.filter(isRunning);
    for (const path of left.filter((path) => !running.includes(path))) {
      attempt("remove", path, () => Deno.removeSync(path));
      report.add({ path, state: "removed" });
    }
    left = running;
  }
  for (const path of left) report.add({ path, state: "in use" });
}

/** Removes what crashes left. */
function clean(directory: string): void {
  const isOurs = (name: string) => name === "libmnl.so.0" || name === "current" || isProgramName(name);
  attempt("clean", directory, () => {
    removeLeftovers(directory, (name) => name === baseName(pluginIn(directory)));
    removeLeftovers(ownDirectoryIn(directory), isOurs);
  });
}

function baseName(path: string): string {
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
