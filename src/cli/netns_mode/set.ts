/** `netns-mode set`. */
import type { RdmaMode } from "../../kernel/kernel.ts";
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { askRdma } from "../../node/inventory.ts";
import { CommandError, ExitCode } from "../errors.ts";
import type { Remark, Result } from "../terminal.ts";
import { type Change, changeMode, listOthers } from "./change.ts";
import { checkInitramfs, type Initramfs, type ListImage } from "./initramfs.ts";
import { formatSource, type ModeSource, type Persisted, persistMode } from "./persist.ts";

export interface SetOptions {
  readonly persist?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
}

/** The machine; tests have their own. */
export interface Machine {
  readonly root?: string;
  /** Release of the running kernel (`uname -r`). */
  readonly release: string;
  readonly listImage?: ListImage;
}

/** The outcome of an order to set the mode. */
interface SetOutcome {
  readonly mode: RdmaMode;
  readonly dryRun: boolean;
  /** Absent: ib_core is not loaded. */
  readonly change?: Change;
  readonly persisted?: Persisted;
  readonly initramfs?: Initramfs;
  /** The reason that it could not be persisted. */
  readonly failure?: CommandError;
  readonly exitCode: ExitCode;
}

/**
 * Changes the namespace mode of the RDMA subsystem now and, on request, for later loads of ib_core.
 *
 * @returns ok; `rebootNeeded` when it is only persisted; failed when other namespaces prevent it or it could
 *   not be persisted
 * @throws {Error} when the kernel refuses for another reason; then nothing was done
 */
export function setMode(
  kernel: NodeKernel,
  mode: RdmaMode,
  { persist = false, dryRun = false }: SetOptions,
  machine: Machine = { release: Deno.osRelease() },
): Result {
  const applyNow = () => changeMode(kernel, mode, dryRun);
  // Without ib_core there is nothing to change yet, but the mode can be persisted.
  const change = persist ? askRdma(applyNow) : applyNow();
  const persistence = persist ? persistAndCheck(mode, dryRun, machine) : {};
  const code = decideCode(change, persist, persistence.failure);
  const outcome = { mode, dryRun, ...(change ? { change } : {}), ...persistence, exitCode: code };
  return {
    code,
    value: toJson(outcome),
    remarks: toRemarks(outcome),
  };
}

/** Formats an outcome for people. */
function toRemarks(outcome: SetOutcome): Remark[] {
  const { mode, dryRun, change, persisted, initramfs, failure, exitCode } = outcome;
  const told = (texts: readonly string[]): Remark[] =>
    texts.map((text) => dryRun ? { plan: text } : { note: text });
  return [
    ...(change?.state === "refused" && exitCode === ExitCode.failed
      ? toErrors([...changeLines(mode, dryRun, change), ...failure ? [] : refusalAdvice(mode)])
      : told(changeLines(mode, dryRun, change))),
    ...(persisted ? told([persistLine(dryRun, persisted)]) : []),
    ...[...persisted ? overruleWarnings(persisted) : [], ...initramfs ? initramfsWarnings(initramfs) : []]
      .map((warning) => ({ warning })),
    ...(failure ? toErrors([failure.message, ...failure.advice ? [failure.advice] : []]) : []),
    ...(exitCode === ExitCode.rebootNeeded ? [{ warning: "reboot this node: the mode changes then" }] : []),
  ];
}

function toErrors([refusal = "", ...more]: readonly string[]): Remark[] {
  return [{ refusal }, ...more.map((error) => ({ error }))];
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
    return { persisted, initramfs, failure: overruledError(mode, persisted) };
  } catch (error) {
    if (error instanceof CommandError) return { failure: error };
    throw error;
  }
}

function overruledError(mode: RdmaMode, { file, overruledBy }: Persisted): CommandError {
  const sources = formatSources(overruledBy);
  return new CommandError(
    `Cannot persist the RDMA namespace mode ${mode}: ${JSON.stringify(file)} is overruled by ${sources}`,
    overruledBy.some(({ file }) => file === "/proc/cmdline")
      ? "Remove ib_core.netns_mode from the kernel command line, in the boot loader's configuration."
      : "Remove the option there: modprobe reads that file later.",
  );
}

function decideCode(change: Change | undefined, persist: boolean, failure: Error | undefined): ExitCode {
  if (failure) return ExitCode.failed;
  if (change?.state !== "refused") return ExitCode.ok;
  return persist ? ExitCode.rebootNeeded : ExitCode.failed;
}

/** For programs: `mode` is the current one, null without ib_core. */
function toJson({ mode, dryRun, change, persisted, initramfs, failure, exitCode }: SetOutcome): object {
  const isChanged = change?.state === "changed" && !dryRun;
  return {
    mode: isChanged ? mode : change?.before ?? null,
    wanted: mode,
    state: change?.state ?? "unloaded",
    dryRun,
    otherNetns: change?.others?.namespaces ?? [],
    persisted: persisted ?? null,
    initramfs: initramfs
      ? { state: initramfs.state, image: initramfs.image ?? null, fix: initramfs.rebuild }
      : null,
    failure: failure?.message ?? null,
    fix: failure?.advice ??
      (change?.state === "refused" && !persisted ? refusalAdvice(mode).join(" ") : null),
    rebootNeeded: exitCode === ExitCode.rebootNeeded,
  };
}

/** Sources with their modes: `/etc/modprobe.d/a.conf:1 (shared)`. */
function formatSources(sources: readonly ModeSource[]): string {
  return sources.map((source) => `${formatSource(source)} (${source.mode})`).join(", ");
}

function changeLines(mode: string, dryRun: boolean, change: Change | undefined): string[] {
  if (!change) return [`ib_core is not loaded: its mode will be ${mode} when it is`];
  const { state, before, others } = change;
  if (state === "already") return [`the RDMA namespace mode is already ${mode}`];
  if (others) {
    return [
      `Cannot set the RDMA namespace mode to ${mode}, it is ${before}: ` +
      "the kernel refuses while network namespaces other than the host's exist",
      ...listOthers(others),
    ];
  }
  if (dryRun) return [`would change the RDMA namespace mode from ${before} to ${mode}`];
  return [`the RDMA namespace mode is now ${mode}, was ${before}`];
}

function persistLine(dryRun: boolean, { file, written }: Persisted): string {
  const path = JSON.stringify(file);
  const done = dryRun ? `would persist it in ${path}` : `persisted in ${path}`;
  return written ? done : `already persisted in ${path}`;
}

function overruleWarnings({ file, overrules }: Persisted): string[] {
  return overrules.length > 0 ? [`${JSON.stringify(file)} overrules ${formatSources(overrules)}`] : [];
}

function initramfsWarnings({ state, image, rebuild }: Initramfs): string[] {
  const path = JSON.stringify(image);
  if (state === "older") {
    return [`ib_core is in the initramfs ${path}, which has older module options: run ${rebuild}`];
  }
  if (state === "fine") return [];
  const where = image === undefined ? "the initramfs, which was not found" : `the initramfs ${path}`;
  return [`ib_core may be in ${where}; if it is, run ${rebuild}`];
}

function refusalAdvice(mode: string): string[] {
  return [
    "Stop the pods and programs that hold these and remove their paths (ip netns del, umount), or run",
    `"rdma-cni netns-mode set ${mode} --persist" and reboot: then the mode is set before any namespace is made.`,
  ];
}
