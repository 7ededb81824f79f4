/** Makes the mode last beyond the next load of ib_core. */
/** The namespace mode that ib_core will have when it is loaded the next time. */
/** What modprobe.d files and the kernel command line say about ib_core's parameter netns_mode. No I/O. */
import type { RdmaMode } from "../../kernel/kernel.ts";
import { ifPresent, replaceFile } from "../../sys/files.ts";
import { CommandError } from "../errors.ts";
import { messageOf } from "../../sys/errno.ts";

/** The file that is ours; modprobe reads those of all directories by name. */
export const OPTIONS_FILE = "/etc/modprobe.d/rdma-cni.conf";

const OWN_NAME = nameOf(OPTIONS_FILE);

export interface Persisted {
  readonly file: string;
  /** It had another content or was missing. */
  readonly written: boolean;
  /** Places that say otherwise and do not count, since something later says what is wanted. */
  readonly overrules: readonly ModeSource[];
  /** Places that say otherwise and count: after the next load of ib_core the mode would be another. */
  readonly overruledBy: readonly ModeSource[];
}

/**
 * Writes the modprobe.d file, unless it is so already, and looks for what contradicts it.
 *
 * @param release the running kernel's, as uname tells it
 * @throws {CommandError} when the file cannot be written, or the kernel does not read such files
 */
export function persistMode(
  mode: RdmaMode,
  { root = "", release, dryRun = false }: { root?: string; release: string; dryRun?: boolean },
): Persisted {
  assertModule(root, release);
  const path = `${root}${OPTIONS_FILE}`;
  const text = `# Written by "netns-mode set --persist" of rdma-cni.\n${formatModeOption(mode)}\n`;
  const { before, after } = othersAround(readPersistedMode(root).sources);
  const isOverruled = (after.at(-1)?.mode ?? mode) !== mode;
  const contradicting = (sources: ModeSource[]) => sources.filter((source) => source.mode !== mode);
  const written = readIfPresent(path) !== text;
  if (written && !dryRun) write(path, text);
  return {
    file: OPTIONS_FILE,
    written,
    overrules: contradicting(isOverruled ? before : [...before, ...after]),
    overruledBy: isOverruled ? contradicting(after) : [],
  };
}

/** The other sources, before and after the place where our file is read. */
function othersAround(sources: readonly ModeSource[]): { before: ModeSource[]; after: ModeSource[] } {
  const others = sources.filter(({ file }) => file !== OPTIONS_FILE);
  const isAfter = ({ file }: ModeSource) => !file.includes("/modprobe.d/") || nameOf(file) > OWN_NAME;
  return { before: others.filter((source) => !isAfter(source)), after: others.filter(isAfter) };
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** What is built into the kernel takes its parameters from the kernel command line alone. */
function assertModule(root: string, release: string): void {
  const builtin = readIfPresent(`${root}/lib/modules/${release}/modules.builtin`) ?? "";
  if (!/\/ib_core\.ko$/m.test(builtin)) return;
  throw new CommandError(
    `Cannot persist the RDMA namespace mode: ib_core is built into kernel ${release}, which reads no ${OPTIONS_FILE}`,
    "Put ib_core.netns_mode=0 (exclusive) or ib_core.netns_mode=1 (shared) on the kernel command line.",
  );
}

function write(path: string, text: string): void {
  try {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    replaceFile(path, text, 0o644, { durable: true });
  } catch (cause) {
    const reason = messageOf(cause);
    throw new CommandError(
      `Cannot persist the RDMA namespace mode: Cannot write ${JSON.stringify(path)}: ${reason}`,
      "The directory must be writable and have space left; on an image-based system put the file into the image.",
      undefined,
      { cause },
    );
  }
}

/** Where modprobe looks, the most important first: a file hides those of the same name further down (libkmod). */
const MODPROBE_DIRECTORIES = [
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
 * @param root the directory that stands for "/"; paths in the result are without it
 * @throws {Error} when a file is there and cannot be read
 */
export function readPersistedMode(root = ""): PersistedMode {
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

/** Reads a file; undefined when there is none. */
export function readIfPresent(path: string): string | undefined {
  return ifPresent(() => Deno.readTextFileSync(path));
}

/** The files that count, in the order in which modprobe reads them: by name, in whatever directory they are. */
function modprobeFiles(root: string): string[] {
  const byName = new Map<string, string>();
  for (const directory of MODPROBE_DIRECTORIES) {
    for (
      const { name, isDirectory } of ifPresent(() => [...Deno.readDirSync(`${root}${directory}`)]) ?? []
    ) {
      if (!isDirectory && name.endsWith(".conf") && !name.startsWith(".") && !byName.has(name)) {
        byName.set(name, `${directory}/${name}`);
      }
    }
  }
  return [...byName].sort(([a], [b]) => a < b ? -1 : 1).map(([, path]) => path);
}

function sourcesIn(root: string, file: string, parse: (text: string) => ModeOption[]): ModeSource[] {
  return parse(readIfPresent(`${root}${file}`) ?? "").map((option) => ({ file, ...option }));
}

/** One place that sets the mode. */
export interface ModeOption {
  /** Counted from 1. */
  readonly line: number;
  readonly mode: RdmaMode;
}

/**
 * The mode options of a modprobe.d file, in the order in which they stand. Of several the last counts, since modprobe
 * hands all of them to the kernel. Syntax: modprobe.d(5).
 */
export function parseModprobeFile(text: string): ModeOption[] {
  return logicalLines(text).flatMap(({ line, text }) => {
    const [command, module, ...parameters] = text.trim().split(/\s+/);
    if (command !== "options" || !isIbCore(module)) return [];
    return parameters.flatMap((parameter) => modeOf(parameter, line));
  });
}

/** The mode options of a kernel command line. Words after `--` are for init. */
export function parseKernelCommandLine(text: string): ModeOption[] {
  const words = text.trim().split(/\s+/);
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? words.length : end).flatMap((word) => {
    const [, module, parameter] = /^([^.=]+)\.(.+)$/.exec(word) ?? [];
    return isIbCore(module) ? modeOf(parameter!, 1) : [];
  });
}

/** The line that loads ib_core in a mode: netns_mode is a bool, true for shared (drivers/infiniband/core/device.c). */
export function formatModeOption(mode: RdmaMode): string {
  return `options ib_core netns_mode=${mode === "shared" ? 1 : 0}`;
}

/** A backslash at the end of a line joins it to the next, also in comments (libkmod). */
function logicalLines(text: string): { line: number; text: string }[] {
  const lines: { line: number; text: string }[] = [];
  let open: { line: number; text: string } | undefined;
  for (const [index, part] of text.split("\n").entries()) {
    const continues = part.endsWith("\\");
    open ??= { line: index + 1, text: "" };
    open.text += continues ? `${part.slice(0, -1)} ` : part;
    if (continues) continue;
    lines.push(open);
    open = undefined;
  }
  if (open) lines.push(open);
  return lines;
}

/** In names of modules a dash is an underscore. */
function isIbCore(module: string | undefined): boolean {
  return module?.replaceAll("-", "_") === "ib_core";
}

/** The kernel reads a bool by its first letters, and one without value as true (lib/kstrtox.c, kernel/params.c). */
function modeOf(parameter: string, line: number): ModeOption[] {
  const [name, value = "1"] = parameter.replaceAll('"', "").split("=", 2);
  if (name?.replaceAll("-", "_") !== "netns_mode") return [];
  if (/^([yt1]|on)/i.test(value)) return [{ line, mode: "shared" }];
  if (/^([nf0]|of)/i.test(value)) return [{ line, mode: "exclusive" }];
  return [];
}
