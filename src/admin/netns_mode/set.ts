import type { AdminKernel } from "../../kernel/admin_kernel.ts";
import type { RdmaMode } from "../../kernel/kernel.ts";
import { CommandError, ExitCode } from "../error.ts";
import { isWithoutRdma } from "../failure.ts";
import { printJson, type Terminal } from "../terminal.ts";
import { type Change, changeMode } from "./change.ts";
import { checkInitramfs, type Initramfs, type ListImage } from "./initramfs.ts";
import { type Persisted, persistMode } from "./persist.ts";
import { formatSources, toJson, toLines } from "./set_report.ts";

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
  kernel: AdminKernel,
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
  kernel: AdminKernel,
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
