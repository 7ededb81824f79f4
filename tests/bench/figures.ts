import type { Starts } from "./here.ts";
import type { AtOnce, GrowthStep, NodeMeasurements } from "./node.ts";
import { median, medianRatio } from "./statistics.ts";

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

const WAYS = ["deviceID", "deviceID, rebound VF", "parent", "MAC"];

/** What the plugin is to reach, all of it relative to something measured in the same run. */
export function figures(size: Size, here: Starts[], node?: NodeMeasurements): Figure[] {
  const [empty, version] = ["empty program", "VERSION"].map((wanted) =>
    here.find(({ name }) => name === wanted)
  );
  return [
    {
      what: "executable beyond the runtime stub, KB",
      found: (size.executable - size.stub) / 1024,
      limit: 600,
    },
    { what: "VERSION / empty program", found: medianRatio(version?.ms, empty?.ms), limit: 1.05 },
    {
      what: "VERSION's peak memory / empty program's",
      found: median(version?.peakKb) / median(empty?.peakKb),
      limit: 1.05,
    },
    ...(node ? nodeFigures(node) : []),
  ];
}

function nodeFigures({ growth, moveMs, peakKb, chargedKb, atOnce }: NodeMeasurements): Figure[] {
  const [few, many] = [growth[0], growth.at(-1)];
  if (!few || !many) return [];
  const commands = ["ADD", "DEL"].map((command) => ({ command, name: `${command} by deviceID` }));
  return [
    { what: "VERSION / empty program, on the node", found: inEmptyPrograms(few, "VERSION"), limit: 1.05 },
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

/** How many times as long as an empty program a call takes, without `lessMs` of it. */
function inEmptyPrograms({ ms, emptyMs }: GrowthStep, name: string, lessMs = 0): number {
  return medianRatio(ms[name]?.map((taken) => taken - lessMs), emptyMs[name]);
}
