/** The namespace mode that ib_core will have when it is loaded the next time. */
import { ifPresent } from "../../durable_file.ts";
import type { RdmaMode } from "../../kernel/kernel.ts";
import { type ModeOption, parseKernelCommandLine, parseModprobeFile } from "./module_options.ts";

/** Where modprobe looks, the most important first: a file hides those of the same name further down (libkmod). */
const MODPROBE_FOLDERS = [
  "/etc/modprobe.d",
  "/run/modprobe.d",
  "/usr/local/lib/modprobe.d",
  "/usr/lib/modprobe.d",
  "/lib/modprobe.d",
];

/** This boot's; libkmod takes modules' options from it too. */
const KERNEL_COMMAND_LINE = "/proc/cmdline";

/** A place that sets the mode. */
export interface ModeSource extends ModeOption {
  /** Path of a modprobe.d file, or /proc/cmdline for the kernel command line. */
  readonly file: string;
}

export interface PersistedMode {
  /** What the last source says; undefined when there is none, so that the kernel's default holds: shared. */
  readonly mode?: RdmaMode;
  /** In the order in which they count: a later one overrules those before it. */
  readonly sources: readonly ModeSource[];
}

/**
 * Reads what sets the mode at the next load of ib_core: files of modprobe.d, by name, then the kernel command line.
 *
 * @param root the folder that stands for "/"; paths in the result are without it
 * @throws {Error} when a file is there and cannot be read
 */
export function readPersistedMode(root = "/"): PersistedMode {
  const sources = [
    ...modprobeFiles(root).flatMap((file) => sourcesIn(root, file, parseModprobeFile)),
    ...sourcesIn(root, KERNEL_COMMAND_LINE, parseKernelCommandLine),
  ];
  const last = sources.at(-1);
  return { ...(last ? { mode: last.mode } : {}), sources };
}

/** A source as people write it: `/etc/modprobe.d/a.conf:3`. */
export function formatSource({ file, line }: ModeSource): string {
  return `${file}:${line}`;
}

/** A path below another root. */
export function below(root: string, path: string): string {
  return `${root.replace(/\/$/, "")}${path}`;
}

/** Reads a file; undefined when there is none. */
export function readIfPresent(path: string): string | undefined {
  return ifPresent(() => Deno.readTextFileSync(path));
}

/** The files that count, in the order in which modprobe reads them: by name, in whatever folder they are. */
function modprobeFiles(root: string): string[] {
  const byName = new Map<string, string>();
  for (const folder of MODPROBE_FOLDERS) {
    for (const { name, isDirectory } of ifPresent(() => [...Deno.readDirSync(below(root, folder))]) ?? []) {
      if (!isDirectory && name.endsWith(".conf") && !name.startsWith(".") && !byName.has(name)) {
        byName.set(name, `${folder}/${name}`);
      }
    }
  }
  return [...byName].sort(([a], [b]) => a < b ? -1 : 1).map(([, path]) => path);
}

function sourcesIn(root: string, file: string, parse: (text: string) => ModeOption[]): ModeSource[] {
  return parse(readIfPresent(below(root, file)) ?? "").map((option) => ({ file, ...option }));
}
