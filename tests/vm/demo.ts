// Shows the main job on the simulated node: an RDMA device goes into a pod's network namespace and returns to the host.
// Then packets go between two pods. Option: --kernel 5.10, 6.1, 6.12 or 6.12-arm64 instead of 7.3, the first that can do
// the latter.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build, parseBuildOptions } from "../../deployment/build/build.ts";
import { messageOf } from "../../src/sys/errno.ts";
import { bootNode, EmulatorCrash } from "../rig/vm/node/boot.ts";
import { KernelUnavailable } from "../rig/vm/node/kernel.ts";
import { type Node, prepareNode } from "../rig/vm/node/prepare.ts";
import { DEFAULT_SERIES, parseSeries } from "../rig/vm/node/series.ts";

const STEPS = fileURLToPath(new URL("demo.sh", import.meta.url));
const TIMEOUT_MS = 3 * 60_000;
/** QEMU itself seldom crashes, but it does. */
const MOST_TRIES = 3;

const progress = (line: string) => console.error(line);

/** The command line; returns the exit code. */
async function main(args: string[]): Promise<number> {
  const { values: { kernel } } = parseArgs({ args, options: { kernel: { type: "string" } } });
  const series = kernel === undefined ? undefined : parseSeries(kernel);
  const node = await (series ? prepareNode(progress, series) : prepareNewest());
  const options = parseBuildOptions(["--target", node.architecture.target]);
  await build(options);
  const colour = Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR");
  for (let tries = 1;; tries++) {
    progress("node: booting ...");
    try {
      return await bootNode(node, {
        command: ["/bin/sh", STEPS, options.output],
        timeoutMs: TIMEOUT_MS,
        onLine: (line) => console.log(colour ? highlight(line) : line),
      });
    } catch (error) {
      if (!(error instanceof EmulatorCrash) || tries === MOST_TRIES) throw error;
      progress(`QEMU crashed, once more from the start: ${error.message}`);
    }
  }
}

/** Linux 7.3, or where the mirror does not have it Debian 13's own. */
async function prepareNewest(): Promise<Node> {
  try {
    return await prepareNode(progress, "7.3");
  } catch (error) {
    if (!(error instanceof KernelUnavailable)) throw error;
    progress(`${error.message}; taking ${DEFAULT_SERIES}`);
    return await prepareNode(progress);
  }
}

/** Headings bold, commands green. */
function highlight(line: string): string {
  if (line.startsWith("== ")) return `\x1b[1m${line}\x1b[0m`;
  if (line.startsWith("$ ")) return `\x1b[32m${line}\x1b[0m`;
  return line;
}

try {
  Deno.exit(await main(Deno.args));
} catch (error) {
  console.error(messageOf(error));
  Deno.exit(1);
}
