import { bootNode, type Clock, tail } from "../rig/vm/node/boot.ts";
import { buildGuestProgram } from "../rig/vm/node/guest_program.ts";
import { prepareTestNode } from "../rig/vm/node/prepare.ts";

/** A line that a program on the node prints: what it does, and at its end what it measured. */
export type NodeLine<T> = { progress: string } | { measured: T };

/** A program of this directory that measures on the simulated node. */
export interface Measurement {
  /** Its file. */
  module: string;
  /** The compiled plugin, which comes first among its arguments. */
  plugin: string;
  /** Its other arguments. */
  args?: string[];
  /** More of them: files, each under a name that no other file of the node has. */
  files?: Record<string, string>;
  /** Scalable functions of the node. */
  scalableFunctions: number;
  memoryMiB?: number;
  /** "instructions" unless told. */
  clock?: Clock;
  timeoutMs: number;
}

/**
 * Measures on the simulated node, whose clock counts instructions: only ratios mean something.
 *
 * @throws {Error} if the program fails, with the end of the console log
 */
export async function measureOnNode<T>(
  {
    module,
    plugin,
    args = [],
    files = {},
    scalableFunctions,
    timeoutMs,
    memoryMiB = 2048,
    clock = "instructions",
  }: Measurement,
): Promise<T> {
  const node = await prepareTestNode((line) => console.error(line));
  const program = await buildGuestProgram(node, [new URL(module, import.meta.url)]);
  // The guest sees the project, but not every other place.
  const copies = Object.entries(files).map(([name, file]) => ({ file, copy: `${node.directory}/${name}` }));
  for (const { file, copy } of copies) await Deno.copyFile(file, copy);
  let measured: T | undefined;
  const status = await bootNode(node, {
    command: [program, node.directory, plugin, ...args, ...copies.map(({ copy }) => copy)],
    kernelArguments: [`rdma_sim.sf_count=${scalableFunctions}`],
    memoryMiB,
    clock,
    timeoutMs,
    onLine: (line) => {
      const message: NodeLine<T> = JSON.parse(line);
      if ("measured" in message) measured = message.measured;
      else console.error(`node: ${message.progress}`);
    },
  });
  if (status !== 0 || measured === undefined) {
    const log = await tail(`${node.directory}/console.log`);
    throw new Error(`Cannot measure on the simulated node: its program ended with status ${status}\n${log}`);
  }
  return measured;
}
