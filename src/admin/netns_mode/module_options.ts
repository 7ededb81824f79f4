/** What modprobe.d files and the kernel command line say about ib_core's parameter netns_mode. No I/O. */
import type { RdmaMode } from "../../kernel/kernel.ts";

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
