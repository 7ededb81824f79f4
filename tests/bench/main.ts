import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseBuildOptions } from "../../deployment/build/build.ts";
import { compile } from "../../deployment/build/compile.ts";
import { appendedSize } from "../../deployment/build/runtime_stub.ts";
import { figures, type Measured } from "./figures.ts";
import { measureHere } from "./here.ts";
import { measureGrowth } from "./node.ts";
import { measurePods } from "./pods.ts";
import { formatTables } from "./table.ts";

const PARTS = ["here", "growth", "pods"] as const;

const USAGE = `Usage: deno task bench [--only PARTS] [--runs N] [--peer FILE] [--json]

Measures what a call of the plugin costs, by the agent and executed, beside the runtime's own floor, an empty program as
"deno compile" makes it, with V8 as the runtime sets it. On the simulated node an instruction takes a nanosecond, and a real processor executes
several in that time: only ratios within one run mean something.

Parts:
  here         VERSION and STATUS on this machine
  growth       ADD and DEL on the simulated node with few and with many RDMA devices and network links, and their memory
  pods         128 pods at once on the simulated node, and 32 within the limits of thick Multus

Options:
  --only PARTS the parts to run, with commas between them (default: all)
  --runs N     timed runs of each candidate on the node, at least 5 (default: 10); six times as many here
  --peer FILE  another CNI plugin of the same configuration, to compare with
  --json       print all samples as JSON
  --help       this text
`;

type Options = ReturnType<typeof readOptions>;

function readOptions(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      runs: { type: "string" },
      peer: { type: "string" },
      only: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  const runs = Number(values.runs ?? 10);
  if (!Number.isInteger(runs) || runs < 5) {
    throw new Error(`Cannot measure with --runs "${values.runs}", wanted a whole number of at least 5`);
  }
  const peer = values.peer === undefined ? undefined : resolve(values.peer);
  if (peer !== undefined && !Deno.statSync(peer).isFile) {
    throw new Error(`Cannot compare with --peer "${values.peer}": it is no file`);
  }
  const parts = values.only?.split(",") ?? PARTS;
  const unknown = parts.find((part) => !PARTS.some((known) => known === part));
  if (unknown !== undefined) {
    throw new Error(`Cannot measure part "${unknown}", wanted one of ${PARTS.join(", ")}`);
  }
  return {
    runs,
    peer,
    parts: new Set(parts),
    json: values.json ?? false,
    help: values.help ?? false,
  };
}

async function bench(options: Options): Promise<void> {
  const { output: plugin, target } = parseBuildOptions([]);
  const directory = fileURLToPath(new URL("empty", import.meta.url));
  const temporary = await Deno.makeTempDir({ prefix: "rdma-cni-bench-" });
  try {
    const empty = `${temporary}/empty-program`;
    await compile({ directory, output: empty, target, v8Flags: [] });
    await compare(plugin, empty, options);
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
}

async function compare(
  plugin: string,
  empty: string,
  { runs, peer, parts, json }: Options,
): Promise<void> {
  const bytes = await Deno.readFile(plugin);
  const measured: Measured = {
    size: { executable: bytes.length, stub: bytes.length - appendedSize(bytes) },
  };
  const programs = { plugin, empty, ...(peer === undefined ? {} : { peer }) };
  // The node counts instructions, which nothing disturbs.
  if (parts.has("here")) measured.here = await measureHere(programs, 6 * runs);
  if (parts.has("growth")) measured.node = await measureGrowth(programs, runs);
  if (parts.has("pods")) measured.pods = await measurePods(plugin);
  const found = figures(measured);
  console.log(
    json ? JSON.stringify({ ...measured, figures: found }, null, 2) : formatTables(measured, found),
  );
}

/** The command line; returns the exit code. */
async function main(args: string[]): Promise<number> {
  let options: Options;
  try {
    options = readOptions(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    return 2;
  }
  if (options.help) console.log(USAGE);
  else await bench(options);
  return 0;
}

Deno.exit(await main(Deno.args));
