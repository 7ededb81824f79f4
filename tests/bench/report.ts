import type { NodeMeasurements, Pods } from "./node.ts";

export interface Measured {
  beyondStubKb: number;
  here?: Record<string, number[]>;
  node?: NodeMeasurements;
  pods?: Pods;
}

/** A ratio or size, and how large it may be at most; without limit it is only told. */
type Figure = [what: string, found: number, limit?: number];

const COMMANDS = ["ADD", "DEL"] as const;
const WAYS = ["deviceID", "deviceID, rebound VF", "parent", "MAC", "the agent"];

/** 0.8 of what the Go plugin (v1.6) took with 8 devices, in milliseconds at an instruction a nanosecond. */
const AGENT_LIMITS_MS = { ADD: 9.0, DEL: 7.8 };

/** The figures that the plugin is to reach, each relative to something measured in the same run. */
export function figures({ beyondStubKb, here, node, pods }: Measured): Figure[] {
  return [
    ["executable beyond the runtime stub, KB", beyondStubKb, 700],
    ...(here ? startFigures(here) : []),
    ...(node ? nodeFigures(node) : []),
    ...(pods ? podsFigures(pods) : []),
  ];
}

/** Quotients of samples that were taken one right after the other: what disturbs the machine for longer disturbs both. */
function startFigures(ms: Record<string, number[]>): Figure[] {
  const ratio = (name: string, to: string) => median(ms[name]!.map((sample, i) => sample / ms[to]![i]!));
  return [
    ["VERSION / empty program", ratio("VERSION", "empty program"), 1.05],
    ["VERSION by the agent / executed", ratio("VERSION by the agent", "VERSION"), 0.05],
  ];
}

function nodeFigures({ growth, peakKb, chargedKb, agent }: NodeMeasurements): Figure[] {
  const [few, many] = [growth[0]!, growth.at(-1)!];
  const toEmpty = (samples: Record<string, number[]>, name: string) =>
    median(samples[name]) / median(samples["empty program"]);
  return [
    ["VERSION / empty program, on the node", toEmpty(few.ms, "VERSION")],
    ...COMMANDS.flatMap((command): Figure[] => {
      const [executed, byAgent] = [`${command} by deviceID`, `${command} by the agent`];
      const charged = median(chargedKb[byAgent]) / 1024;
      return [
        [`${command} / empty program`, toEmpty(few.ms, executed), 1.2],
        [`${command}'s peak memory / empty program's`, toEmpty(peakKb, executed), 1.12],
        [`${command}'s peak charged to a cgroup / empty program's`, toEmpty(chargedKb, executed), 1.12],
        [`${byAgent}, ms`, median(few.ms[byAgent]), AGENT_LIMITS_MS[command]],
        [`${byAgent}: charged to the caller's cgroup, MiB`, charged, 1],
        ...WAYS.map((way): Figure => [
          `${command} by ${way}: ${many.rdmaDevices} devices / ${few.rdmaDevices}`,
          median(many.ms[`${command} by ${way}`]) / median(few.ms[`${command} by ${way}`]),
          1.1,
        ]),
      ];
    }),
    [`agent: resident after ${agent.calls} calls, MB`, agent.residentMiB[1], 80],
    ["agent: descriptors then, more than before", agent.descriptors[1] - agent.descriptors[0], 0],
  ];
}

function podsFigures({ slowness, rows }: Pods): Figure[] {
  return [
    ["pods: the node's time / this machine's", slowness],
    ...rows.flatMap(({ name, by, isLimited, totalMs, moveMs, failed, overtaken }): Figure[] => {
      if (isLimited && by === "executed") return []; // they are killed within thick Multus's limits
      const what = isLimited ? `${name}, limited` : name;
      const limit = by === "agent" ? 1.05 : undefined;
      return [
        ...(isLimited ? [] : [[`${what}: all / sum of moves`, totalMs / sum(moveMs), limit] as Figure]),
        [`${what}: failed`, failed, 0],
        [`${what}: overtaken by`, overtaken, 1],
      ];
    }),
  ];
}

export function formatTables({ here, node, pods }: Measured, found: readonly Figure[]): string {
  const starts = here && Object.entries(here).map(([name, ms]) => ({
    "this machine": name,
    "median ms": median(ms).toFixed(1),
    "min ms": Math.min(...ms).toFixed(1),
  }));
  const growth = node && Object.keys(node.growth[0]!.ms).map((name) => ({
    "simulated node, median ms": name,
    ...Object.fromEntries(
      node.growth.map(({ rdmaDevices, ms }) => [`${rdmaDevices} devices`, median(ms[name]).toFixed(1)]),
    ),
  }));
  const atOnce = pods?.rows.map(({ name, isLimited, totalMs, moveMs, worstMs, overtaken, failed }) => ({
    "simulated node, calls at once": isLimited ? `${name}, 50Mi and 100m` : name,
    "all, s": (totalMs / 1000).toFixed(2),
    "moves, s": (sum(moveMs) / 1000).toFixed(2),
    "worst, s": (worstMs / 1000).toFixed(2),
    overtaken: `${overtaken}`,
    failed: `${failed}`,
  }));
  const limits = found.map(([what, found, limit]) => ({
    figure: what,
    found: found.toFixed(2),
    "at most": limit?.toFixed(2) ?? "-",
    "": limit === undefined ? "" : found <= limit ? "reached" : "missed",
  }));
  return [starts, growth, atOnce, limits].flatMap((rows) => rows ? formatTable(rows) : []).join("\n\n");
}

function formatTable(rows: readonly Record<string, string>[]): string {
  return [Object.keys(rows[0]!), ...rows.map((row) => Object.values(row))].map(([name = "", ...cells]) =>
    (name.padEnd(50) + cells.map((cell) => cell.padStart(13)).join("")).trimEnd()
  ).join("\n");
}

function median(samples: readonly number[] = []): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return (low! + high!) / 2;
}

const sum = (samples: readonly number[]) => samples.reduce((total, sample) => total + sample, 0);
