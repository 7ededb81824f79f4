import type { LimitedCalls } from "./cpu_limit.ts";
import type { Starts } from "./here.ts";
import type { ManyCalls, ManyPods } from "./many_pods.ts";
import type { AtOnce, GrowthStep, NodeMeasurements } from "./node.ts";
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
  manyPods?: ManyPods;
  cpuLimit?: LimitedCalls[];
}

const WAYS = ["deviceID", "deviceID, rebound VF", "parent", "MAC"];

/** The figures that the plugin is to reach, each relative to something measured in the same run. */
export function figures({ size, here, node, manyPods }: Measured): Figure[] {
  return [
    {
      what: "executable beyond the runtime stub, KB",
      found: (size.executable - size.stub) / 1024,
      limit: 700,
    },
    ...(here ? startFigures(here) : []),
    ...(node ? nodeFigures(node) : []),
    ...(manyPods ? manyPodsFigures(manyPods) : []),
  ];
}

function startFigures(here: Starts[]): Figure[] {
  const [empty, version] = ["empty program", "VERSION"].map((wanted) =>
    here.find(({ name }) => name === wanted)
  );
  return [
    { what: "VERSION / empty program", found: medianRatio(version?.ms, empty?.ms), limit: 1.05 },
    {
      what: "VERSION's peak memory / empty program's",
      found: median(version?.peakKb) / median(empty?.peakKb),
      limit: 1.05,
    },
  ];
}

function nodeFigures({ growth, moveMs, peakKb, chargedKb, atOnce }: NodeMeasurements): Figure[] {
  const [few, many] = [growth[0], growth.at(-1)];
  if (!few || !many) return [];
  const commands = ["ADD", "DEL"].map((command) => ({ command, name: `${command} by deviceID` }));
  return [
    { what: "VERSION / empty program, on the node", found: inEmptyPrograms(few, "VERSION") },
    ...commands.flatMap(({ command, name }) => [
      { what: `${command} / empty program`, found: inEmptyPrograms(few, name) },
      {
        what: `${command} without the kernel's move / empty program`,
        found: inEmptyPrograms(few, name, median(moveMs[name])),
        limit: 1.2,
      },
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
    ...WAYS.flatMap((way) => ["ADD", "DEL"].map((command) => `${command} by ${way}`)).map((name) => ({
      what: `${name}: ${many.rdmaDevices} devices / ${few.rdmaDevices}`,
      found: inEmptyPrograms(many, name) / inEmptyPrograms(few, name),
      limit: 1.1,
    })),
    ...commands.flatMap(({ command, name }) => peerFigures(command, name, few, many)),
    ...atOnceFigures(atOnce),
  ];
}

/** ADD on the large node is to be the faster one. */
function peerFigures(command: string, name: string, few: GrowthStep, many: GrowthStep): Figure[] {
  const peer = `peer's ${name}`;
  if (!(peer in few.ms)) return [];
  return [few, many].map((step) => ({
    what: `${command} / peer's ${command}, ${step.rdmaDevices} devices`,
    found: inEmptyPrograms(step, name) / inEmptyPrograms(step, peer),
    ...(command === "ADD" && step === many ? { limit: 1 } : {}),
  }));
}

function atOnceFigures([empty, ...calls]: AtOnce[]): Figure[] {
  return calls.flatMap(({ name, calls, totalMs, worstMs }) => [
    {
      what: `${calls} ${name}s at once / empty programs, all`,
      found: median(totalMs) / median(empty?.totalMs),
    },
    {
      what: `${calls} ${name}s at once / empty programs, worst`,
      found: median(worstMs) / median(empty?.worstMs),
    },
  ]);
}

/** Returns how many times as long as an empty program a call takes, without `lessMs` of it. */
function inEmptyPrograms({ ms }: GrowthStep, name: string, lessMs = 0): number {
  return (median(ms[name]) - lessMs) / median(ms["empty program"]);
}

function manyPodsFigures({ slowness, rows, alone }: ManyPods): Figure[] {
  return [
    { what: "many pods: the node's time / this machine's", found: slowness },
    ...["ADD", "DEL"].map((command) => {
      const calls = alone.filter((call) => call.command === command);
      return {
        what: `with the lock but not in the move / ${command}`,
        found: medianRatio(
          calls.map(({ lockedMs: [locked = NaN], moveMs: [move = NaN] }) => locked - move),
          calls.map(({ totalMs }) => totalMs),
        ),
      };
    }),
    ...rows.filter(({ delayMs }) => delayMs > 0).flatMap((row) => [
      { what: `${nameOf(row)}: all / sum of moves`, found: row.totalMs / sum(row.moveMs), limit: 1.15 },
      {
        what: `${nameOf(row)}: first lock to last / sum of moves`,
        found: row.inTurnMs / sum(row.moveMs),
        limit: 1.15,
      },
    ]),
    { what: "many pods: calls that failed", found: sum(rows.map(({ failed }) => failed)), limit: 0 },
    {
      what: "many pods: later calls that overtook one",
      found: Math.max(...rows.map(({ overtaken }) => overtaken)),
      limit: 1,
    },
  ];
}

/** `64 ADDs, moves of 0.5 s`. */
export function nameOf({ command, pods, delayMs }: ManyCalls): string {
  return `${pods} ${command}s, moves of ${delayMs / 1000} s`;
}
