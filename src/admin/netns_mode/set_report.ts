/** What `netns-mode set` tells: lines for people, an object for machines. */
import { ExitCode } from "../error.ts";
import type { Change } from "./change.ts";
import type { Initramfs } from "./initramfs.ts";
import { formatOthers } from "./others.ts";
import type { Persisted } from "./persist.ts";
import { formatSource, type ModeSource } from "./persisted.ts";
import type { SetOutcome } from "./set.ts";

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
export function toJson(
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
export function formatSources(sources: readonly ModeSource[]): string {
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
