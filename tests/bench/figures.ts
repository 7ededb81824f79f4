import type { Starts } from "./here.ts";
import type { GrowthStep, NodeMeasurements } from "./node.ts";
import type { Pods } from "./pods.ts";
import { median, medianRatio, sum } from "./statistics.ts";

/** A ratio or size, and how large it may be at most; without limit it is only told. */
export interface Figure {
  what: string;
  found: number;
  limit?: number;
}

/** Sizes of the executable and of the runtime stub in it, in bytes. */
export interface Size {
  executable: number;
  stub: number;
}

/** All measurements, part by part. */
export interface Measured {
  size: Size;
  here?: Starts[];
  node?: NodeMeasurements;
  pods?: Pods;
}

const WAYS = ["deviceID", "deviceID, rebound VF", "parent", "MAC", "the agent"];

/** 0.8 of what the Go plugin (v1.6) took with 8 devices, in milliseconds at an instruction a nanosecond. */
const AGENT_LIMITS_MS = [["ADD", 9.0], ["DEL", 7.8]] as const;

/** The figures that the plugin is to reach, each relative to something measured in the same run. */
export function figures({ size, here, node, pods }: Measured): Figure[] {
  return [
    {
      what: "executable beyond the runtime stub, KB",
      found: (size.executable - size.stub) / 1024,
      limit: 700,
    },
    ...(here ? startFigures(here) : []),
    ...(node ? nodeFigures(node) : []),
    ...(pods ? podsFigures(pods) : []),
  ];
}

function startFigures(here: Starts[]): Figure[] {
  const [empty, version, byAgent, peers] = [
    "empty program",
    "VERSION",
    "VERSION by the agent",
    "peer's VERSION",
  ].map(
    (wanted) => here.find(({ name }) => name === wanted),
  );
  return [
    { what: "VERSION / empty program", found: medianRatio(version?.ms, empty?.ms), limit: 1.05 },
    {
      what: "VERSION's peak memory / empty program's",
      found: median(version?.peakKb) / median(empty?.peakKb),
      limit: 1.05,
    },
    peers
      ? { what: "VERSION by the agent / peer's", found: medianRatio(byAgent?.ms, peers.ms), limit: 0.5 }
      : {
        what: "VERSION by the agent / executed",
        found: medianRatio(byAgent?.ms, version?.ms),
        limit: 0.05,
      },
  ];
}

function nodeFigures({ growth, peakKb, chargedKb, agent }: NodeMeasurements): Figure[] {
  const [few, many] = [growth[0], growth.at(-1)];
  if (!few || !many) return [];
  const commands = ["ADD", "DEL"].map((command) => ({ command, name: `${command} by deviceID` }));
  return [
    { what: "VERSION / empty program, on the node", found: inEmptyPrograms(few, "VERSION") },
    ...commands.flatMap(({ command, name }) => [
      { what: `${command} / empty program`, found: inEmptyPrograms(few, name), limit: 1.2 },
      {
        what: `${command}'s peak memory / empty program's`,
        found: median(peakKb[name]) / median(peakKb["empty program"]),
        limit: 1.12,
      },
      {
        what: `${command}'s peak charged to a cgroup / empty program's`,
        found: median(chargedKb[name]) / median(chargedKb["empty program"]),
        limit: 1.12,
      },
    ]),
    ...AGENT_LIMITS_MS.flatMap(([command, limit]) => [
      { what: `${command} by the agent, ms`, found: median(few.ms[`${command} by the agent`]), limit },
      {
        what: `${command} by the agent: charged to the caller's cgroup, MiB`,
        found: median(chargedKb[`${command} by the agent`]) / 1024,
        limit: 1,
      },
    ]),
    { what: `agent: resident after ${agent.calls} calls, MB`, found: agent.residentKb[1] / 1024, limit: 80 },
    {
      what: `agent: descriptors after ${agent.calls} calls, more than before`,
      found: agent.descriptors[1] - agent.descriptors[0],
      limit: 0,
    },
    ...WAYS.flatMap((way) => ["ADD", "DEL"].map((command) => `${command} by ${way}`)).map((name) => ({
      what: `${name}: ${many.rdmaDevices} devices / ${few.rdmaDevices}`,
      found: median(many.ms[name]) / median(few.ms[name]),
      limit: 1.1,
    })),
    ...commands.flatMap(({ command }) => peerFigures(command, few, many)),
  ];
}

/** By the agent, and on the large node far faster. */
function peerFigures(command: string, few: GrowthStep, many: GrowthStep): Figure[] {
  const [ours, peers] = [`${command} by the agent`, `peer's ${command} by deviceID`];
  if (!(peers in few.ms)) return [];
  return [few, many].map((step) => ({
    what: `${ours} / peer's ${command}, ${step.rdmaDevices} devices`,
    found: median(step.ms[ours]) / median(step.ms[peers]),
    limit: step === few ? 0.8 : 0.05,
  }));
}

/** Returns how many times as long as an empty program a call takes. */
function inEmptyPrograms({ ms }: GrowthStep, name: string): number {
  return median(ms[name]) / median(ms["empty program"]);
}

function podsFigures({ slowness, rows }: Pods): Figure[] {
  return [
    { what: "pods: the node's time / this machine's", found: slowness },
    ...rows.filter(({ isLimited }) => !isLimited).map(({ name, by, totalMs, moveMs }) => ({
      what: `${name}: all / sum of moves`,
      found: totalMs / sum(moveMs),
      ...(by === "agent" ? { limit: 1.05 } : {}),
    })),
    // The executed ones are killed within thick Multus's limits.
    ...rows.filter(({ isLimited, by }) => !isLimited || by === "agent").flatMap((
      { name, isLimited, failed, overtaken },
    ) => [
      { what: `${name}${isLimited ? ", limited" : ""}: failed`, found: failed, limit: 0 },
      { what: `${name}${isLimited ? ", limited" : ""}: overtaken by`, found: overtaken, limit: 1 },
    ]),
  ];
}
