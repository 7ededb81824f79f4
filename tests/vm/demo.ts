// Shows the main job on the simulated node: an RDMA device goes into a pod's network namespace and returns to the host.
// Option: --kernel 5.10, 6.1, 7.3 or 6.12-arm64 instead of Debian 13's 6.12.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build, parseBuildOptions } from "../../deployment/build/build.ts";
import { bootNode } from "../rig/vm/node/boot.ts";
import { prepareNode } from "../rig/vm/node/prepare.ts";
import { DEFAULT_SERIES, parseSeries, sourceOf } from "../rig/vm/node/series.ts";

const STEPS = fileURLToPath(new URL("demo.sh", import.meta.url));
const TIMEOUT_MS = 3 * 60_000;

const { values: { kernel = DEFAULT_SERIES } } = parseArgs({
  args: Deno.args,
  options: { kernel: { type: "string" } },
});
const series = parseSeries(kernel);
const options = parseBuildOptions(["--target", sourceOf(series).architecture.target]);
await build(options);
const node = await prepareNode((line) => console.error(line), series);
console.error("node: booting ...");
const colour = Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR");
const status = await bootNode(node, {
  command: ["/bin/sh", STEPS, options.output],
  timeoutMs: TIMEOUT_MS,
  onLine: (line) => console.log(colour ? highlight(line) : line),
});
Deno.exit(status);

/** Headings bold, commands green. */
function highlight(line: string): string {
  if (line.startsWith("== ")) return `\x1b[1m${line}\x1b[0m`;
  if (line.startsWith("$ ")) return `\x1b[32m${line}\x1b[0m`;
  return line;
}
