import type { Terminal } from "../terminal.ts";
import { type Finding, type Level, worstLevel } from "./finding.ts";

/** ECMA-48 SGR: green, yellow, red. */
const COLORS: Readonly<Record<Level, number>> = { ok: 32, warning: 33, problem: 31 };
const LEVEL_WIDTH = "problem".length;
const GROUP_WIDTH = "networks".length;

/** Prints findings for people: a line each, below it what mends it, and at the end how many there are. */
export function printFindings({ out, hasColor }: Terminal, findings: readonly Finding[]): void {
  const paint = (level: Level, text: string) => hasColor ? `\x1b[${COLORS[level]}m${text}\x1b[0m` : text;
  for (const { group, level, text, mend } of findings) {
    out(`${paint(level, level.padEnd(LEVEL_WIDTH))}  ${group.padEnd(GROUP_WIDTH)}  ${text}\n`);
    if (mend !== undefined) out(`${" ".repeat(LEVEL_WIDTH + GROUP_WIDTH + 4)}-> ${mend}\n`);
  }
  out(`\n${paint(worstLevel(findings), summarize(findings))}\n`);
}

function summarize(findings: readonly Finding[]): string {
  const counts = (["problem", "warning"] as const).flatMap((level) => {
    const count = findings.filter((finding) => finding.level === level).length;
    return count === 0 ? [] : [`${count} ${level}${count === 1 ? "" : "s"}`];
  });
  return counts.length === 0
    ? "This node is ready for RDMA in pods."
    : `This node has ${counts.join(" and ")}.`;
}
