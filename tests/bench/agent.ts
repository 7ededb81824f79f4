import { COMPILED_PLUGIN } from "../rig/vm/guest/programs.ts";
import { endBackground, shOk, startBackground } from "../rig/vm/guest/sh.ts";

const DIRECTORY = "/opt/agent";

/** A launcher whose calls the agent does; the plugin of the node is executed all the same. */
export const LAUNCHER = `${DIRECTORY}/rdma`;

/** After so many calls the agent is as fast as it will be. */
export const WARMING_CALLS = 20;

/** The agent of the node. */
export interface RunningAgent extends AsyncDisposable {
  /** Its resident memory. */
  residentKb(): number;
  /** The number of its descriptors. */
  descriptors(): number;
}

/** Installs the plugin a second time, and starts that one's agent, which is ended when disposed of. */
export async function startAgent(): Promise<RunningAgent> {
  await shOk(`mkdir ${DIRECTORY} && ${COMPILED_PLUGIN} install --cni-bin-dir ${DIRECTORY}`);
  const { pid } = await startBackground(`exec ${LAUNCHER} agent 2>&1`, "The agent serves");
  return {
    residentKb: () => Number(/^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]),
    descriptors: () => [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
    [Symbol.asyncDispose]: endBackground,
  };
}

/** The number of calls that the agent has done so far. */
export async function countCalls(): Promise<number> {
  return JSON.parse(await shOk(`${LAUNCHER} agent --check --json`)).calls;
}
