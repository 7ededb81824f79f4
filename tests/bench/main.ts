import { fileURLToPath } from "node:url";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { compile } from "../../deployment/compile.ts";
import { parseBuildOptions } from "../../deployment/build.ts";
import { measureOnNode } from "./node.ts";

const USAGE = `Usage: deno task bench [--runs N] [--no-node] [--json]

Measures what a call of the plugin costs on top of its runtime's own floor, an empty program compiled the same way:
VERSION and STATUS on this machine, ADD and DEL on the simulated node, whose processor is emulated and slow.

Options:
  --runs N   timed runs of each candidate, at least 30 (default: 60)
  --no-node  leave the simulated node out
  --json     print the results as JSON
  --help     this text
`;

/** One thing that is started again and again. */
interface Candidate {
  name: string;
  executable: string;
  env: Record<string, string>;
  stdin: string;
}

interface Result {
  /** "here" or "simulated node". */
  where: string;
  name: string;
  medianMs: number;
  p10Ms: number;
  minMs: number;
  /** Of the median to that of the empty program. */
  ratio: number;
  /** Absent where GNU time is. */
  peakKb?: number;
}

const NETWORK = JSON.stringify({ cniVersion: "1.1.0", name: "bench", type: "rdma" });

function candidates(plugin: string, empty: string): Candidate[] {
  const call = (command: string) => ({
    name: command,
    executable: plugin,
    env: { CNI_COMMAND: command, CNI_PATH: "/opt/cni/bin" },
    stdin: NETWORK,
  });
  return [{ ...call("VERSION"), name: "empty program", executable: empty }, call("VERSION"), call("STATUS")];
}

/** Starts the candidate once, waits for its end, and returns the milliseconds between. */
async function runOnce({ executable, env, stdin }: Candidate, wrapper: string[] = []): Promise<number> {
  const [command = executable, ...args] = [...wrapper, executable];
  const streams = { stdin: "piped", stdout: "null", stderr: "null" } as const;
  const start = performance.now();
  const child = new Deno.Command(command, { ...streams, args, env, clearEnv: true, cwd: "/" }).spawn();
  // The empty program ends without reading, which breaks the pipe.
  const fed = new Blob([stdin]).stream().pipeTo(child.stdin).catch(() => {});
  await child.status;
  const ms = performance.now() - start;
  await fed;
  return ms;
}

const GNU_TIME = "/usr/bin/time";

/** The median over a few runs of the largest resident memory, in KB. */
async function peakKb(candidate: Candidate, folder: string): Promise<number | undefined> {
  if (!await Deno.stat(GNU_TIME).then((info) => info.isFile, () => false)) return undefined;
  const report = `${folder}/peak`;
  const peaks: number[] = [];
  for (let run = 0; run < 5; run++) {
    await runOnce(candidate, [GNU_TIME, "--quiet", "--format=%M", `--output=${report}`]);
    peaks.push(Number(await Deno.readTextFile(report)));
  }
  return quantile(peaks, 0.5);
}

/** The value below which a part `part` of the samples lies, interpolated. */
export function quantile(samples: number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const [low = NaN, high = low] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at % 1);
}

/** Starts all candidates in turn, so that what disturbs the machine disturbs all of them alike. */
async function measure(all: Candidate[], runs: number, folder: string): Promise<Result[]> {
  const timed = all.map((candidate) => ({ candidate, samples: [] as number[] }));
  for (let round = -1; round < runs; round++) {
    for (const entry of timed) {
      const ms = await runOnce(entry.candidate);
      // The first round only warms the page cache.
      if (round >= 0) entry.samples.push(ms);
    }
  }
  const results = summarize(
    "here",
    new Map(timed.map(({ candidate, samples }) => [candidate.name, samples])),
  );
  for (const [i, candidate] of all.entries()) {
    const peak = await peakKb(candidate, folder);
    if (peak !== undefined) Object.assign(results[i]!, { peakKb: peak });
  }
  return results;
}

/** The figures of each list of samples; the first is the floor that the others are compared with. */
function summarize(where: string, samplesByName: ReadonlyMap<string, number[]>): Result[] {
  const [floor = []] = samplesByName.values();
  return [...samplesByName].map(([name, samples]) => ({
    where,
    name,
    medianMs: quantile(samples, 0.5),
    p10Ms: quantile(samples, 0.1),
    minMs: Math.min(...samples),
    ratio: quantile(samples, 0.5) / quantile(floor, 0.5),
  }));
}

function table(results: Result[]): string {
  const header = ["", "median ms", "p10 ms", "min ms", "ratio", "peak MB"];
  const rows = results.map(({ where, name, medianMs, p10Ms, minMs, ratio, peakKb }) => [
    `${where}: ${name}`,
    ...[medianMs, p10Ms, minMs].map((ms) => ms.toFixed(1)),
    ratio.toFixed(2),
    peakKb === undefined ? "-" : (peakKb / 1024).toFixed(1),
  ]);
  const line = ([name = "", ...cells]: string[]) =>
    name.padEnd(30) + cells.map((cell) => cell.padStart(11)).join("");
  return [header, ...rows].map(line).join("\n");
}

/** Copies of both programs on a file system in memory: on a disk, page layout alone differs by milliseconds. */
async function bench(runs: number, withNode: boolean): Promise<Result[]> {
  const { output: plugin, target } = parseBuildOptions([]);
  const empty = `${dirname(plugin)}/empty-program`;
  await compile({ entry: fileURLToPath(new URL("empty.ts", import.meta.url)), output: empty, target });
  const folder = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "rdma-cni-bench-" });
  try {
    await Deno.copyFile(plugin, `${folder}/rdma-cni`);
    await Deno.copyFile(empty, `${folder}/empty`);
    const here = await measure(candidates(`${folder}/rdma-cni`, `${folder}/empty`), runs, folder);
    return withNode
      ? [...here, ...summarize("simulated node", await measureOnNode(plugin, empty, runs))]
      : here;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function readOptions(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      runs: { type: "string" },
      "no-node": { type: "boolean" },
      json: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  const runs = Number(values.runs ?? 60);
  if (!Number.isInteger(runs) || runs < 30) {
    throw new Error(`Cannot measure with --runs "${values.runs}", wanted a whole number of at least 30`);
  }
  return { runs, withNode: !values["no-node"], json: values.json ?? false, help: values.help ?? false };
}

/** The command line; returns the exit code. */
async function main(args: string[]): Promise<number> {
  let options: ReturnType<typeof readOptions>;
  try {
    options = readOptions(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    return 2;
  }
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const results = await bench(options.runs, options.withNode);
  console.log(options.json ? JSON.stringify(results, null, 2) : table(results));
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
