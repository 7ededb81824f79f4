import { makeLauncher } from "../support/launcher.ts";

export interface Programs {
  plugin: string;
  empty: string;
  peer?: string;
}

/** The number of runs in which programs are started from the same copies, see {@linkcode copyAnew}. */
const RUNS_A_COPY = 5;

const NETWORK = JSON.stringify({ cniVersion: "1.1.0", name: "bench", type: "rdma" });

/** Starts the candidates in turn, so that what disturbs the machine disturbs all alike. @returns milliseconds by name */
export async function measureHere(
  { plugin, empty, peer }: Programs,
  runs: number,
): Promise<Record<string, number[]>> {
  // In memory: on a disk, the page layout alone of copies of one file differs by milliseconds.
  const directory = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "rdma-cni-bench-" });
  try {
    const copies = [[plugin, `${directory}/rdma-cni`], [empty, `${directory}/empty`]] as const;
    await using agent = await startAgent(plugin, directory);
    const candidates = {
      "empty program": `${directory}/empty`,
      VERSION: `${directory}/rdma-cni`,
      "VERSION by the agent": agent.launcher,
      ...(peer === undefined ? {} : { "peer's VERSION": peer }),
    };
    const ms: Record<string, number[]> = {};
    for (let run = 0; run < runs; run++) {
      if (run % RUNS_A_COPY === 0) {
        await copyAnew(copies);
        for (const program of Object.values(candidates)) await start(program); // warms the page cache
      }
      for (const [name, program] of Object.entries(candidates)) (ms[name] ??= []).push(await start(program));
    }
    return ms;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

export async function timeVersion(plugin: string): Promise<number> {
  const ms = [];
  for (let run = 0; run < 21; run++) ms.push(await start(plugin));
  return Math.min(...ms);
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

/** Calls VERSION of a program, waits for its end, and returns the milliseconds between. */
async function start(program: string): Promise<number> {
  const begin = performance.now();
  const child = new Deno.Command(program, {
    env: { CNI_COMMAND: "VERSION", CNI_PATH: "/opt/cni/bin" },
    clearEnv: true,
    cwd: "/",
    ...{ stdin: "piped", stdout: "null", stderr: "null" },
  }).spawn();
  // The empty program ends without reading, which breaks the pipe.
  const fed = new Blob([NETWORK]).stream().pipeTo(child.stdin).catch(() => {});
  await child.status;
  const ms = performance.now() - begin;
  await fed;
  return ms;
}

/** Replaces copies of files. Where the pages of a copy lie in memory makes a program up to 3.5 % slower or faster. */
async function copyAnew(copies: readonly (readonly [file: string, copy: string])[]): Promise<void> {
  for (const [file, copy] of copies) {
    await Deno.copyFile(file, `${copy}.new`);
    await Deno.rename(`${copy}.new`, copy);
  }
}
