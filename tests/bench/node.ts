import { bundleGuest } from "../vm/guest/bundle.ts";
import { bootNode, tail } from "../vm/node/boot.ts";
import { prepareNode } from "../vm/node/prepare.ts";

const TIMEOUT_MS = 15 * 60_000;

/**
 * Starts the empty program and the plugin's VERSION, ADD and DEL in turn on the simulated node, whose processor is
 * emulated: only ratios mean something.
 *
 * @returns milliseconds from start to end, by name
 */
export async function measureOnNode(
  plugin: string,
  empty: string,
  runs: number,
): Promise<Map<string, number[]>> {
  const node = await prepareNode((line) => console.error(line));
  const program = await bundleGuest(node.directory, [new URL("node_guest.ts", import.meta.url)]);
  const samples: Map<string, number[]> = new Map();
  const status = await bootNode(node, {
    command: [
      ...[Deno.execPath(), "run", "--allow-all", "--no-config", "--no-check", "--cached-only", program],
      ...[node.directory, plugin, empty, String(runs)],
    ],
    timeoutMs: TIMEOUT_MS,
    onLine: (line) => {
      for (const [name, list] of Object.entries<number[]>(JSON.parse(line))) samples.set(name, list);
    },
  });
  if (status !== 0 || samples.size === 0) {
    const log = await tail(`${node.directory}/console.log`);
    throw new Error(`Cannot measure on the simulated node: its program ended with status ${status}\n${log}`);
  }
  return samples;
}
