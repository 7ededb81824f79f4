import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compile } from "../../deployment/compile.ts";
import { parseBuildOptions } from "../../deployment/build.ts";

const USAGE = `Usage: deno task bench [--runs N] [--json]

Measures what a call of the plugin costs on top of its runtime's own floor, an empty program compiled the same way.

Options:
  --runs N  timed runs of each candidate, at least 30 (default: 60)
  --json    print the results as JSON
  --help    this text
`;

/** One thing that is started again and again. */
interface Candidate {
  name: string;
  executable: string;
  env: Record<string, string>;
  stdin: string;
}

interface Result {
  name: string;
  exitCode: number;
  medianMs: number;
  p10Ms: number;
  minMs: number;
  /** Of `p10Ms` to that of the empty program. */
  ratio: number;
  /** Absent where GNU time is. */
  peakKb?: number;
}

const NETWORK = JSON.stringify({ cniVersion: "1.1.0", name: "bench", type: "rdma-cni" });

function candidates(plugin: string, empty: string): Candidate[] {
  const call = (command: string) => ({
    name: command,
    executable: plugin,
    env: { CNI_COMMAND: command, CNI_PATH: "/opt/cni/bin" },
    stdin: NETWORK,
  });
  return [{ ...call("VERSION"), name: "empty program", executable: empty }, call("VERSION"), call("STATUS")];
}

/** Starts the candidate once, waits for its end, and returns its exit code and the time from start to end. */
async function runOnce({ executable, env, stdin }: Candidate, wrapper: string[] = []) {
  const [command = executable, ...args] = [...wrapper, executable];
  const streams = { stdin: "piped", stdout: "null", stderr: "null" } as const;
  const start = performance.now();
  const child = new Deno.Command(command, { ...streams, args, env, clearEnv: true, cwd: "/" }).spawn();
  // The empty program ends without reading, which breaks the pipe.
  const fed = new Blob([stdin]).stream().pipeTo(child.stdin).catch(() => {});
  const { code } = await child.status;
  const ms = performance.now() - start;
  await fed;
  return { code, ms };
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
  const timed = all.map((candidate) => ({ candidate, exitCode: 0, samples: [] as number[] }));
  for (let round = -1; round < runs; round++) {
    for (const entry of timed) {
      const { code, ms } = await runOnce(entry.candidate);
      entry.exitCode = code;
      // The first round only warms the page cache.
      if (round >= 0) entry.samples.push(ms);
    }
  }
  const floorMs = quantile(timed[0]?.samples ?? [], 0.1);
  const results: Result[] = [];
  for (const { candidate, exitCode, samples } of timed) {
    const peak = await peakKb(candidate, folder);
    const p10Ms = quantile(samples, 0.1);
    results.push({
      name: candidate.name,
      exitCode,
      medianMs: quantile(samples, 0.5),
      p10Ms,
      minMs: Math.min(...samples),
      ratio: p10Ms / floorMs,
      ...(peak === undefined ? {} : { peakKb: peak }),
    });
  }
  return results;
}

function table(results: Result[]): string {
  const header = ["", "exit", "median ms", "p10 ms", "min ms", "p10 ratio", "peak MB"];
  const rows = results.map(({ name, exitCode, medianMs, p10Ms, minMs, ratio, peakKb }) => [
    name,
    String(exitCode),
    ...[medianMs, p10Ms, minMs].map((ms) => ms.toFixed(1)),
    ratio.toFixed(2),
    peakKb === undefined ? "-" : (peakKb / 1024).toFixed(1),
  ]);
  const line = ([name = "", ...cells]: string[]) =>
    name.padEnd(14) + cells.map((cell) => cell.padStart(11)).join("");
  return [header, ...rows].map(line).join("\n");
}

/** Copies of both programs on a file system in memory: on a disk, page layout alone differs by milliseconds. */
async function bench(runs: number): Promise<Result[]> {
  const { output: plugin, target } = parseBuildOptions([]);
  const folder = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "rdma-cni-bench-" });
  try {
    await Deno.copyFile(plugin, `${folder}/rdma-cni`);
    const entry = fileURLToPath(new URL("empty.ts", import.meta.url));
    await compile({ entry, output: `${folder}/empty`, target });
    return await measure(candidates(`${folder}/rdma-cni`, `${folder}/empty`), runs, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function readOptions(args: string[]) {
  const { values } = parseArgs({
    args,
    options: { runs: { type: "string" }, json: { type: "boolean" }, help: { type: "boolean" } },
  });
  const runs = Number(values.runs ?? 60);
  if (!Number.isInteger(runs) || runs < 30) {
    throw new Error(`Cannot measure with --runs "${values.runs}", wanted a whole number of at least 30`);
  }
  return { runs, json: values.json ?? false, help: values.help ?? false };
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
  const results = await bench(options.runs);
  console.log(options.json ? JSON.stringify(results, null, 2) : table(results));
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
