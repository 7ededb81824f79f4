/** Makes the mode last beyond the next load of ib_core. */
import { replaceFile } from "../../durable_file.ts";
import type { RdmaMode } from "../../kernel/kernel.ts";
import { CommandError } from "../error.ts";
import { formatModeOption } from "./module_options.ts";
import { below, type ModeSource, readIfPresent, readPersistedMode } from "./persisted.ts";

/** The file that is ours; modprobe reads those of all folders by name. */
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
  { root = "/", release, dryRun = false }: { root?: string; release: string; dryRun?: boolean },
): Persisted {
  assertModule(root, release);
  const path = below(root, OPTIONS_FILE);
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
  const builtin = readIfPresent(below(root, `/lib/modules/${release}/modules.builtin`)) ?? "";
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
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError(
      `Cannot persist the RDMA namespace mode: Cannot write ${JSON.stringify(path)}: ${reason}`,
      "The folder must be writable and have space left; on an image-based system put the file into the image.",
      undefined,
      { cause },
    );
  }
}
