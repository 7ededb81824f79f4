/**
 * The namespace mode at the next load of ib_core: its parameter netns_mode in modprobe.d files and on the kernel
 * command line, and the file of ours that sets it. `root` is the directory that stands for "/".
 */
import type { RdmaMode } from "../../kernel/kernel.ts";
import { messageOf } from "../../sys/errno.ts";
import { directoryOf, ifPresent, replaceFile } from "../../sys/files.ts";
import { CommandError } from "../errors.ts";

/** Our file. modprobe reads the files of all directories in the order of their names. */
export const OPTIONS_FILE = "/etc/modprobe.d/rdma-cni.conf";

const OWN_NAME = baseName(OPTIONS_FILE);

/** The directories of modprobe, most important first: a file hides files of the same name further down (libkmod). */
const MODPROBE_DIRECTORIES = [
  "/etc/modprobe.d",
  "/run/modprobe.d",
  "/usr/local/lib/modprobe.d",
  "/usr/lib/modprobe.d",
  "/lib/modprobe.d",
];

/** The one of this boot. libkmod also takes options of modules from it. */
const KERNEL_COMMAND_LINE = "/proc/cmdline";

/** An option that sets the mode. */
export interface ModeOption {
  /** Counted from 1. */
  readonly line: number;
  readonly mode: RdmaMode;
}

/** The place of an option that sets the mode. */
export interface ModeSource extends ModeOption {
  /** The path of a modprobe.d file, or /proc/cmdline for the kernel command line. */
  readonly file: string;
}

export interface PersistedMode {
  /** The mode of the last source; without one the kernel's default applies: shared. */
  readonly mode?: RdmaMode;
  /** In the order in which they are read: a later one overrules those before it. */
  readonly sources: readonly ModeSource[];
}

/** The outcome of an order to persist the mode. */
export interface Persisted {
  readonly file: string;
  /** It had other content or was missing. */
  readonly written: boolean;
  /** Contradicting sources that do not count, since a later one sets the wanted mode. */
  readonly overrules: readonly ModeSource[];
  /** Contradicting sources that count: the next load of ib_core would set another mode. */
  readonly overruledBy: readonly ModeSource[];
}

/**
 * Writes the modprobe.d file if necessary, and looks for sources that contradict it.
 *
 * @param release release of the running kernel (`uname -r`)
 * @throws {CommandError} when the file cannot be written, or the kernel does not read such files
 */
export function persistMode(
  mode: RdmaMode,
  { root = "", release, dryRun = false }: { root?: string; release: string; dryRun?: boolean },
): Persisted {
  assertNotBuiltIn(root, release);
  const path = `${root}${OPTIONS_FILE}`;
  const text = `# Written by "netns-mode set --persist" of rdma-cni.\n${formatModeOption(mode)}\n`;
  const { before, after } = splitSources(readPersistedMode(root).sources);
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

/**
 * Reads what sets the mode at the next load of ib_core: files of modprobe.d, by name, then the kernel command line.
 *
 * @param root is not part of the paths in the result
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

/** A source for people: `/etc/modprobe.d/a.conf:3`. */
export function formatSource({ file, line }: ModeSource): string {
  return `${file}:${line}`;
}

/** Reads a file; undefined when there is none. */
export function readIfPresent(path: string): string | undefined {
  return ifPresent(() => Deno.readTextFileSync(path));
}

/**
 * Parses the mode options of a modprobe.d file, in their order. The last one counts, since modprobe passes
 * all of them to the kernel. Syntax: modprobe.d(5).
 */
export function parseModprobeFile(text: string): ModeOption[] {
  return logicalLines(text).flatMap(({ line, text }) => {
    const [command, module, ...parameters] = text.trim().split(/\s+/);
    if (command !== "options" || !isIbCore(module)) return [];
    return parameters.flatMap((parameter) => parseMode(parameter, line));
  });
}

/** Parses the mode options of a kernel command line. Words after `--` are for init. */
export function parseKernelCommandLine(text: string): ModeOption[] {
  const words = text.trim().split(/\s+/);
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? words.length : end).flatMap((word) => {
    const [, module, parameter] = /^([^.=]+)\.(.+)$/.exec(word) ?? [];
    return isIbCore(module) ? parseMode(parameter!, 1) : [];
  });
}

/** The line for modprobe.d that sets a mode: netns_mode is a bool, true for shared (infiniband/core/device.c). */
export function formatModeOption(mode: RdmaMode): string {
  return `options ib_core netns_mode=${mode === "shared" ? 1 : 0}`;
}

/** The sources that are read before and after our file. */
function splitSources(sources: readonly ModeSource[]): { before: ModeSource[]; after: ModeSource[] } {
  const others = sources.filter(({ file }) => file !== OPTIONS_FILE);
  const isAfter = ({ file }: ModeSource) => !file.includes("/modprobe.d/") || baseName(file) > OWN_NAME;
  return { before: others.filter((source) => !isAfter(source)), after: others.filter(isAfter) };
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** A module that is built into the kernel takes its parameters only from the kernel command line. */
function assertNotBuiltIn(root: string, release: string): void {
  const builtin = readIfPresent(`${root}/lib/modules/${release}/modules.builtin`) ?? "";
  if (!/\/ib_core\.ko$/m.test(builtin)) return;
  throw new CommandError(
    `Cannot persist the RDMA namespace mode: ib_core is built into kernel ${release}, ` +
      `which does not read ${OPTIONS_FILE}`,
    "Put ib_core.netns_mode=0 (exclusive) or ib_core.netns_mode=1 (shared) on the kernel command line.",
  );
}

function write(path: string, text: string): void {
  try {
    Deno.mkdirSync(directoryOf(path), { recursive: true });
    replaceFile(path, text, 0o644, { durable: true });
  } catch (cause) {
    throw new CommandError(
      `Cannot persist the RDMA namespace mode: Cannot write ${JSON.stringify(path)}: ${messageOf(cause)}`,
      "The directory must be writable and have free space. On an image-based system put the file in the image.",
      undefined,
      { cause },
    );
  }
}

/** The files that are not hidden, in the order in which modprobe reads them: by name, whatever their directory. */
function modprobeFiles(root: string): string[] {
  const byName = new Map<string, string>();
  for (const directory of MODPROBE_DIRECTORIES) {
    const entries = ifPresent(() => [...Deno.readDirSync(`${root}${directory}`)]) ?? [];
    for (const { name, isDirectory } of entries) {
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

/** A backslash at the end of a line joins it to the next, even in comments (libkmod). */
function logicalLines(text: string): { line: number; text: string }[] {
  return Array.from(text.matchAll(/(?:\\\n|[^\n])+/g), ({ 0: logical, index }) => ({
    line: text.slice(0, index).split("\n").length,
    text: logical.replaceAll(/\\(?:\n|$)/g, " "),
  }));
}

/** In names of modules a dash is an underscore. */
function isIbCore(module: string | undefined): boolean {
  return module?.replaceAll("-", "_") === "ib_core";
}

/** The kernel parses a bool by its first letters; without value it is true (kernel/params.c, lib/kstrtox.c). */
function parseMode(parameter: string, line: number): ModeOption[] {
  const [name, value = "1"] = parameter.replaceAll('"', "").split("=", 2);
  if (name?.replaceAll("-", "_") !== "netns_mode") return [];
  if (/^([yt1]|on)/i.test(value)) return [{ line, mode: "shared" }];
  if (/^([nf0]|of)/i.test(value)) return [{ line, mode: "exclusive" }];
  return [];
}
