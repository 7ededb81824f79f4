import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseBuildOptions } from "../../deployment/build/build.ts";
import { compile } from "../../deployment/build/compile.ts";
import { appendedSize } from "../../deployment/build/runtime_stub.ts";
import { measureHere } from "./here.ts";
import { measureGrowth, measurePods } from "./node.ts";
import { figures, formatTables, type Measured } from "./report.ts";

const PARTS = ["here", "growth", "pods"];

const USAGE = `Usage: deno task bench [--only PARTS] [--runs N] [--peer FILE] [--json]

Measures what a call of the plugin costs, by the agent and executed, beside the runtime's own floor, an empty program as
"deno compile" makes it, with V8 as the runtime sets it. On the simulated node an instruction takes a nanosecond, and a real processor executes
several in that time: only ratios within one run mean something.

Parts:
  here         VERSION on this machine
  growth       ADD and DEL on the simulated node with few and with many RDMA devices and network links, and their memory
  pods         128 pods at once on the simulated node, and 32 within the limits of thick Multus

Options:
  --only PARTS the parts to run, with commas between them (default: all)
  --runs N     timed runs of each candidate on the node, at least 5 (default: 10); six times as many here
  --peer FILE  another CNI plugin of the same configuration, to compare with
  --json       print all samples as JSON
  --help       this text
`;

function readOptions(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      runs: { type: "string", default: "10" },
      peer: { type: "string" },
      only: { type: "string", default: PARTS.join() },
      json: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 5) {
    throw new Error(`Cannot measure with --runs "${values.runs}", wanted a whole number of at least 5`);
  }
  const peer = values.peer === undefined ? undefined : resolve(values.peer);
  if (peer !== undefined && !Deno.statSync(peer).isFile) {
    throw new Error(`Cannot compare with --peer "${values.peer}": it is no file`);
  }
  const parts = values.only.split(",");
  const unknown = parts.find((part) => !PARTS.includes(part));
  if (unknown !== undefined) {
    throw new Error(`Cannot measure part "${unknown}", wanted one of ${PARTS.join(", ")}`);
  }
  return { ...values, runs, peer, parts };
}

async function bench({ runs, peer, parts, json }: ReturnType<typeof readOptions>): Promise<void> {
  const { output: plugin, target } = parseBuildOptions([]);
  const bytes = await Deno.readFile(plugin);
  const measured: Measured = { beyondStubKb: appendedSize(bytes) / 1024 };
  const temporary = await Deno.makeTempDir({ prefix: "rdma-cni-bench-" });
  try {
    const empty = `${temporary}/empty-program`;
    const directory = fileURLToPath(new URL("empty", import.meta.url));
    await compile({ directory, output: empty, target, v8Flags: [] });
    const programs = { plugin, empty, ...(peer === undefined ? {} : { peer }) };
    // The node counts instructions, which nothing disturbs.
    if (parts.includes("here")) measured.here = await measureHere(programs, 6 * runs);
    if (parts.includes("growth")) measured.node = await measureGrowth(programs, runs);
    if (parts.includes("pods")) measured.pods = await measurePods(plugin);
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
  const found = figures(measured);
  console.log(
    json ? JSON.stringify({ ...measured, figures: found }, null, 2) : formatTables(measured, found),
  );
}

let options: ReturnType<typeof readOptions>;
try {
  options = readOptions(Deno.args);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  Deno.exit(2);
}
if (options.help) console.log(USAGE);
else await bench(options);
Deno.exit();
