import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseBuildOptions } from "../../deployment/build/build.ts";
import { compile } from "../../deployment/build/compile.ts";
import { appendedSize } from "../../deployment/build/runtime_stub.ts";
import { figures } from "./figures.ts";
import { growthSvg } from "./growth_svg.ts";
import { measureHere } from "./here.ts";
import { measureOnNode } from "./node.ts";
import { formatTables } from "./table.ts";

const USAGE = `Usage: deno task bench [--runs N] [--peer FILE] [--svg FILE] [--no-node] [--json]

Measures what a call of the plugin costs on top of its runtime's own floor, an empty program as "deno compile" makes it,
with V8 as the runtime sets it: on this machine, and on the simulated node with few and with many RDMA devices and
network links. The node's processor is emulated and slow, and machines differ: only ratios within one run mean
something.

Options:
  --runs N     timed runs of each candidate on the node, at least 30 (default: 30); four times as many here
  --peer FILE  another CNI plugin of the same configuration, to compare ADD and DEL with
  --svg FILE   where the growth over the number of devices is drawn (default: dist/growth.svg)
  --no-node    leave the simulated node out
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
      svg: { type: "string" },
      "no-node": { type: "boolean" },
      json: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  const runs = Number(values.runs ?? 30);
  if (!Number.isInteger(runs) || runs < 30) {
    throw new Error(`Cannot measure with --runs "${values.runs}", wanted a whole number of at least 30`);
  }
  const peer = values.peer === undefined ? undefined : resolve(values.peer);
  if (peer !== undefined && !Deno.statSync(peer).isFile) {
    throw new Error(`Cannot compare with --peer "${values.peer}": it is no file`);
  }
  return {
    runs,
    peer,
    svg: values.svg,
    withNode: !values["no-node"],
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
  { runs, peer, svg, withNode, json }: Options,
): Promise<void> {
  const bytes = await Deno.readFile(plugin);
  const size = { executable: bytes.length, stub: bytes.length - appendedSize(bytes) };
  // A start takes a tenth of what it takes on the node, and is disturbed as much.
  const here = await measureHere(plugin, empty, 4 * runs);
  const node = withNode
    ? await measureOnNode({ plugin, empty, runs, ...(peer === undefined ? {} : { peer }) })
    : undefined;
  if (node) {
    const drawing = svg ?? `${dirname(plugin)}/growth.svg`;
    await Deno.writeTextFile(drawing, growthSvg(node.growth));
    console.error(`drawn "${drawing}"`);
  }
  const found = figures(size, here, node);
  console.log(
    json ? JSON.stringify({ size, here, node, figures: found }, null, 2) : formatTables(here, node, found),
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
