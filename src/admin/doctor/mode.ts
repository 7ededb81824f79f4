import { getRelease } from "../../kernel/module.ts";
import { checkInitramfs, type ListImage } from "../netns_mode/initramfs.ts";
import { tellingOldKernel } from "../netns_mode/old_kernel.ts";
import { formatSource, type PersistedMode, readPersistedMode } from "../netns_mode/persisted.ts";
import type { RdmaMode } from "../../kernel/kernel.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { type Node, quote } from "./node.ts";

/** The namespace mode now and after a reboot. */
export function examineMode({ kernel, root, executable }: Node): Finding[] {
  const persisted = readPersistedMode(root);
  return [
    ...judgeMode(tellingOldKernel(() => kernel.getRdmaMode()), persisted, quote(executable)),
    ...examineInitramfs(root, persisted),
  ];
}

/**
 * Whether what modprobe.d says will count: an initramfs with ib_core has its own copy, from when it was made.
 *
 * @param listImage the files in an initramfs; the distribution's program for it unless told
 */
export function examineInitramfs(
  root: string,
  { mode, sources }: PersistedMode,
  listImage?: ListImage,
): Finding[] {
  const file = sources.at(-1)?.file;
  if (mode !== "exclusive" || !file?.startsWith("/etc/modprobe.d/")) return [];
  const release = getRelease(root);
  const { state, image, rebuild } = checkInitramfs(file, {
    root,
    release,
    ...(listImage ? { listImage } : {}),
  });
  return state === "older"
    ? [
      warning(
        "mode",
        `${image} has ib_core and is older than ${file}: after a reboot the mode may be another`,
        rebuild,
      ),
    ]
    : [];
}

/**
 * Judges the mode.
 *
 * @param program how this program is called, for the commands that fix something
 */
export function judgeMode(now: RdmaMode, { mode, sources }: PersistedMode, program: string): Finding[] {
  const last = sources.at(-1);
  const persist = `${program} netns-mode set exclusive --persist`;
  const why = last ? formatSource(last) : "nothing sets it, so the kernel's default holds";
  const later = `after a reboot ${mode ?? "shared"} (${why})`;
  if (now === "shared") {
    return [problem(
      "mode",
      `shared now, want exclusive: no RDMA device can be moved into a pod; ${later}`,
      mode === "exclusive" ? "reboot" : `${persist}, then reboot if the kernel refuses it now`,
    )];
  }
  return mode === "exclusive"
    ? [ok("mode", `exclusive now, ${later}`)]
    : [warning("mode", `exclusive now, but ${later}`, persist)];
}
