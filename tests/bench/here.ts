import { makeLauncher } from "../support/launcher.ts";
import { timeWrapper } from "../support/gnu_time.ts";

/** The programs that are compared. */
export interface Programs {
  plugin: string;
  empty: string;
  /** Another CNI plugin. */
  peer?: string;
}

/** The number of runs in which programs are started from the same copies, see {@linkcode copyAnew}. */
const RUNS_A_COPY = 5;

/** Measurements of a program that was started again and again on this machine. */
export interface Starts {
  name: string;
  ms: number[];
  peakKb: number[];
}

interface Candidate {
  name: string;
  executable: string;
  env: Record<string, string>;
  stdin: string;
}

const NETWORK = JSON.stringify({ cniVersion: "1.1.0", name: "bench", type: "rdma" });

/**
 * Starts the empty program and calls that do little, executed and by an agent, in turn, so that what disturbs the machine
 * disturbs all of them alike; then once more for their memory. Needs GNU time (Debian package `time`).
 */
export async function measureHere({ plugin, empty, peer }: Programs, runs: number): Promise<Starts[]> {
  // In memory: on a disk, the page layout alone of copies of one file differs by milliseconds.
  const directory = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "rdma-cni-bench-" });
  try {
    const copies = [[plugin, `${directory}/rdma-cni`], [empty, `${directory}/empty`]] as const;
    await using agent = await startAgent(plugin, directory);
    const all = [
      call("VERSION", `${directory}/empty`, "empty program"),
      call("VERSION", `${directory}/rdma-cni`),
      call("STATUS", `${directory}/rdma-cni`),
      call("VERSION", agent.launcher, "VERSION by the agent"),
      call("STATUS", agent.launcher, "STATUS by the agent"),
      ...(peer === undefined ? [] : [call("VERSION", peer, "peer's VERSION")]),
    ];
    const timed = all.map((candidate) => ({ candidate, ms: [] as number[], peakKb: [] as number[] }));
    for (let run = 0; run < runs; run++) {
      if (run % RUNS_A_COPY === 0) {
        await copyAnew(copies);
        for (const { candidate } of timed) await start(candidate); // warms the page cache
      }
      for (const { candidate, ms } of timed) ms.push(await start(candidate));
    }
    const report = `${directory}/peak`;
    for (let run = 0; run < runs; run++) {
      for (const { candidate, peakKb } of timed) {
        await start(candidate, timeWrapper(report));
        peakKb.push(Number(await Deno.readTextFile(report)));
      }
    }
    return timed.map(({ candidate: { name }, ms, peakKb }) => ({ name, ms, peakKb }));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Milliseconds that the plugin's VERSION takes on this machine while nothing disturbs it. */
export async function timeVersion(plugin: string): Promise<number> {
  const ms = [];
  for (let run = 0; run < 21; run++) ms.push(await start(call("VERSION", plugin)));
  return Math.min(...ms);
}

function call(command: string, executable: string, name = command): Candidate {
  return { name, executable, env: { CNI_COMMAND: command, CNI_PATH: "/opt/cni/bin" }, stdin: NETWORK };
}

/** Installs the plugin with a launcher of its own, and starts its agent, which is ended when disposed of. */
async function startAgent(
  plugin: string,
  directory: string,
): Promise<AsyncDisposable & { readonly launcher: string }> {
  const [launcher, socket] = [`${directory}/rdma`, `${directory}/agent/agent.sock`];
  const program = `${directory}/.rdma-cni/rdma-cni`;
  await Deno.mkdir(`${directory}/.rdma-cni`);
  await Deno.copyFile(plugin, program);
  await Deno.symlink("rdma-cni", `${directory}/.rdma-cni/current`);
  const bytes = await makeLauncher(Deno.build.arch, [`-DSOCKET="${socket}"`]);
  await Deno.writeFile(launcher, bytes, { mode: 0o755 });
  const streams = { stdin: "null", stdout: "null", stderr: "piped" } as const;
  const child = new Deno.Command(program, { args: ["agent", "--socket", socket], ...streams }).spawn();
  const words = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await words.read();
  if (!value?.includes("The agent serves")) throw new Error(`Cannot start the agent: ${value}`);
  return {
    launcher,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.status;
      await words.cancel();
    },
  };
}

/** Starts the candidate, waits for its end, and returns the milliseconds between. */
async function start({ executable, env, stdin }: Candidate, wrapper: string[] = []): Promise<number> {
  const [command = executable, ...args] = [...wrapper, executable];
  const streams = { stdin: "piped", stdout: "null", stderr: "null" } as const;
  const begin = performance.now();
  const child = new Deno.Command(command, { ...streams, args, env, clearEnv: true, cwd: "/" }).spawn();
  // The empty program ends without reading, which breaks the pipe.
  const fed = new Blob([stdin]).stream().pipeTo(child.stdin).catch(() => {});
  await child.status;
  const ms = performance.now() - begin;
  await fed;
  return ms;
}

/**
 * Copies files and puts the copies where the earlier ones were, which go only then. Where the pages of a copy happen to
 * lie in memory makes a program up to 3.5 % slower or faster, so that no comparison may rest on one copy.
 *
 * @param copies pairs of a file and its copy
 * @throws {Deno.errors.NotFound}
 */
async function copyAnew(copies: readonly (readonly [file: string, copy: string])[]): Promise<void> {
  for (const [file, copy] of copies) {
    await Deno.copyFile(file, `${copy}.new`);
    await Deno.rename(`${copy}.new`, copy);
  }
}
