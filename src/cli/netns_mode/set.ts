/** What `netns-mode set` tells: lines for people, an object for machines. */
import type { NodeKernel, RdmaMode } from "../../kernel/kernel.ts";
import { CommandError, ExitCode, isWithoutRdma } from "../errors.ts";
import { printJson, type Terminal } from "../terminal.ts";
import { type Change, changeMode, formatOthers } from "./change.ts";
import { checkInitramfs, type Initramfs, type ListImage } from "./initramfs.ts";
import { formatSource, type ModeSource, type Persisted, persistMode } from "./persist.ts";

export interface SetOptions {
  readonly persist?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** What of the machine the command looks at; tests have their own. */
export interface Machine {
  readonly root?: string;
  /** The running kernel's release, as uname tells it. */
  readonly release: string;
  readonly listImage?: ListImage;
}

/** What became of an order to set the mode. */
export interface SetOutcome {
  readonly mode: RdmaMode;
  readonly dryRun: boolean;
  /** Absent: ib_core is not loaded. */
  readonly change?: Change;
  readonly persisted?: Persisted;
  readonly initramfs?: Initramfs;
  /** Why it could not be persisted. */
  readonly failure?: CommandError;
  readonly exitCode: ExitCode;
}

/**
 * `netns-mode set`: changes the RDMA subsystem's namespace mode now and, on request, for later loads of ib_core.
 *
 * @returns 0 when it holds; 3 when it holds after a reboot only; 1 when other namespaces stand in the way, or when it
 * could not be persisted
 * @throws {Error} when the kernel refuses for another reason; then nothing was done
 */
export function setMode(
  kernel: NodeKernel,
  terminal: Terminal,
  mode: RdmaMode,
  { persist = false, dryRun = false, json = false }: SetOptions,
  machine: Machine = { release: Deno.osRelease() },
): ExitCode {
  const change = changeOrAwait(kernel, mode, { persist, dryRun });
  const persistence = persist ? persistAndCheck(mode, dryRun, machine) : {};
  const exitCode = exitCodeOf(change, persist, persistence.failure);
  const outcome = { mode, dryRun, ...(change ? { change } : {}), ...persistence, exitCode };
  for (const line of toLines(outcome)) terminal.err(`${line}\n`);
  if (json) printJson(terminal, toJson(outcome));
  return exitCode;
}

/** Without ib_core there is nothing to change yet, but there may be something to persist. */
function changeOrAwait(
  kernel: NodeKernel,
  mode: RdmaMode,
  { persist, dryRun }: { persist: boolean; dryRun: boolean },
): Change | undefined {
  try {
    return changeMode(kernel, mode, dryRun);
  } catch (error) {
    if (persist && isWithoutRdma(error)) return undefined;
    throw error;
  }
}

function persistAndCheck(
  mode: RdmaMode,
  dryRun: boolean,
  machine: Machine,
): Pick<SetOutcome, "persisted" | "initramfs" | "failure"> {
  try {
    const persisted = persistMode(mode, { ...machine, dryRun });
    const isPlanned = dryRun && persisted.written;
    const initramfs = checkInitramfs(isPlanned ? undefined : persisted.file, machine);
    if (persisted.overruledBy.length === 0) return { persisted, initramfs };
    return { persisted, initramfs, failure: overruled(mode, persisted) };
  } catch (error) {
    if (error instanceof CommandError) return { failure: error };
    throw error;
  }
}

function overruled(mode: RdmaMode, { file, overruledBy }: Persisted): CommandError {
  const sources = formatSources(overruledBy);
  return new CommandError(
    `Cannot persist the RDMA namespace mode ${mode}: ${JSON.stringify(file)} is overruled by ${sources}`,
    overruledBy.some(({ file }) => file === "/proc/cmdline")
      ? "Take ib_core.netns_mode from the kernel command line, in the boot loader's configuration."
      : "Remove the option there: modprobe reads that file later.",
  );
}

function exitCodeOf(change: Change | undefined, persist: boolean, failure: Error | undefined): ExitCode {
  if (failure) return ExitCode.failed;
  if (change?.state !== "refused") return ExitCode.ok;
  return persist ? ExitCode.rebootNeeded : ExitCode.failed;
}

export function toLines(
  { mode, dryRun, change, persisted, initramfs, failure, exitCode }: SetOutcome,
): string[] {
  return [
    ...(change
      ? changeLines(mode, dryRun, change)
      : [`ib_core is not loaded: its mode will be ${mode} when it is`]),
    ...(persisted ? persistLines(dryRun, persisted) : []),
    ...(initramfs ? initramfsLines(initramfs) : []),
    ...(failure ? [failure.message, ...(failure.advice ? [failure.advice] : [])] : []),
    ...(change?.state === "refused" && !persisted && !failure ? refusalAdvice(mode) : []),
    ...(exitCode === ExitCode.rebootNeeded ? ["reboot this node: the mode changes then"] : []),
  ];
}

/** The same, for machines: `mode` is the one that holds now, null without ib_core. */
function toJson(
  { mode, dryRun, change, persisted, initramfs, failure, exitCode }: SetOutcome,
): object {
  const isChanged = change?.state === "changed" && !dryRun;
  return {
    mode: isChanged ? mode : change?.before ?? null,
    wanted: mode,
    state: change?.state ?? "unloaded",
    dryRun,
    inTheWay: change?.others?.namespaces ?? [],
    persisted: persisted ?? null,
    initramfs: initramfs ?? null,
    failure: failure?.message ?? null,
    rebootNeeded: exitCode === ExitCode.rebootNeeded,
  };
}

/** Places with what they say: `/etc/modprobe.d/a.conf:1 (shared)`. */
function formatSources(sources: readonly ModeSource[]): string {
  return sources.map((source) => `${formatSource(source)} (${source.mode})`).join(", ");
}

function changeLines(mode: string, dryRun: boolean, { state, before, others }: Change): string[] {
  if (state === "already") return [`the RDMA namespace mode is ${mode} already`];
  if (others) {
    return [
      `Cannot set the RDMA namespace mode to ${mode}, it is ${before}: ` +
      "the kernel refuses while network namespaces other than the host's exist",
      formatOthers(others),
    ];
  }
  if (dryRun) return [`would change the RDMA namespace mode from ${before} to ${mode}`];
  return [`the RDMA namespace mode is now ${mode}, was ${before}`];
}

function persistLines(dryRun: boolean, { file, written, overrules }: Persisted): string[] {
  const path = JSON.stringify(file);
  const done = dryRun ? `would persist it in ${path}` : `persisted in ${path}`;
  return [
    written ? done : `persisted in ${path} already`,
    ...(overrules.length > 0 ? [`warning: ${path} overrules ${formatSources(overrules)}`] : []),
  ];
}

function initramfsLines({ state, image, rebuild }: Initramfs): string[] {
  const path = JSON.stringify(image);
  if (state === "older") {
    return [`warning: ib_core is in the initramfs ${path}, which has older module options: run ${rebuild}`];
  }
  if (state === "fine") return [];
  const where = image === undefined ? "the initramfs, which is not found" : `the initramfs ${path}`;
  return [`warning: cannot tell whether ib_core is in ${where}; if it is, run ${rebuild}`];
}

function refusalAdvice(mode: string): string[] {
  return [
    "Stop the pods and programs that hold these and remove their paths (ip netns del, umount), or run",
    `"rdma-cni netns-mode set ${mode} --persist" and reboot: then the mode is set before any namespace is made.`,
  ];
}
