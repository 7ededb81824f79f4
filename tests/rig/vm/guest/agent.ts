/** The plugin as "install" leaves it, in a directory of its own, and its agent, which serves case after case. */
import { assert, assertEquals } from "../../../support/assert.ts";
import { callAs, countCalls } from "./plugin.ts";
import { INSTALLED_PLUGIN, LAUNCHER } from "./programs.ts";
import { shOk, until } from "./sh.ts";

const DIRECTORY = "/opt/cni/bin/agent";
export const AGENT_PLUGIN = `${DIRECTORY}/rdma`;
const CURRENT = `${DIRECTORY}/.rdma-cni/current`;
export const PROGRAM = "rdma-cni-0.0.0-a9e27a9e27a9";
export const SOCKET = "/run/rdma-cni/agent.sock";
const LOG = "/run/agent.log";

export class RunningAgent {
  #code: number | undefined;
  /** Its exit code; a signal counts as 128 + its number. */
  readonly ended: Promise<number>;
  readonly pid: number;

  private constructor(readonly process: Deno.ChildProcess) {
    this.pid = process.pid;
    this.ended = process.status.then(({ code }) => this.#code = code);
  }

  /** Starts an agent and waits until it answers. @throws {Error} with its log, if it ends instead */
  static async start(args: readonly string[]): Promise<RunningAgent> {
    await Deno.writeTextFile(LOG, ""); // that of an earlier agent would say that this one serves
    const agent = new RunningAgent(
      new Deno.Command("sh", {
        args: ["-c", `exec "$0" agent "$@" 2>>${LOG}`, AGENT_PLUGIN, ...args],
        stdin: "null",
        stdout: "null",
      }).spawn(),
    );
    await until("the agent serves", () => {
      assertEquals(agent.#code, undefined, `the agent ended: ${agent.log()}`);
      return agent.log().includes("The agent serves on");
    });
    return agent;
  }

  get isRunning(): boolean {
    return this.#code === undefined;
  }

  readonly log = () => unquote(Deno.readTextFileSync(LOG));

  /** Asks by the launcher, so no program is executed for it. */
  async counts(): Promise<{ pid: number; calls: number; declined: number; abandoned: number }> {
    const text = await shOk(`${AGENT_PLUGIN} agent --check`);
    const words = /, process (\d+), since \S+: (\d+) calls, (\d+) declined, (\d+) abandoned$/;
    const [, pid, calls, declined, abandoned] = words.exec(text)!.map(Number) as [0, 0, 0, 0, 0];
    return { pid, calls, declined, abandoned };
  }

  kill(signal: Deno.Signal): void {
    this.process.kill(signal);
  }

  readonly descriptors = () => [...Deno.readDirSync(`/proc/${this.pid}/fd`)].length;

  residentMiB(): number {
    const status = Deno.readTextFileSync(`/proc/${this.pid}/status`);
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
  }

  /** What work adds to its counts. */
  async counting(work: () => unknown): Promise<{ calls: number; declined: number; abandoned: number }> {
    const before = await this.counts();
    await work();
    const { pid, ...after } = await this.counts();
    assertEquals(pid, before.pid, "the agent that answers");
    return {
      calls: after.calls - before.calls,
      declined: after.declined - before.declined,
      abandoned: after.abandoned - before.abandoned,
    };
  }

  /** Asserts that every call of the plugin that the work makes is done by this agent. */
  async servesAll(work: () => unknown): Promise<void> {
    const before = countCalls();
    const counted = await this.counting(work);
    assert(countCalls() > before, "the plugin was not called");
    assertEquals(counted, { calls: countCalls() - before, declined: 0, abandoned: 0 });
  }
}

/** The messages of a log, in which they stand quoted, as they read. */
const unquote = (log: string) => log.replaceAll('\\"', '"');

let kept: { agent: RunningAgent; args: string } | undefined;

/** Has an agent meanwhile, that of the case before if it fits, and the plugin called by its launcher. */
export async function withAgent<T>(
  run: (agent: RunningAgent) => Promise<T>,
  args: readonly string[] = [],
): Promise<T> {
  await layOut();
  if (!kept?.agent.isRunning || kept.args !== args.join(" ")) {
    await endAgent();
    kept = { agent: await RunningAgent.start(args), args: args.join(" ") };
  }
  const { agent } = kept;
  return await callAs(AGENT_PLUGIN, () => run(agent));
}

export async function layOut(): Promise<void> {
  await shOk(
    `test -e ${CURRENT} ||
     { mkdir -p ${DIRECTORY}/.rdma-cni && cp ${LAUNCHER} ${AGENT_PLUGIN} &&
       ln ${INSTALLED_PLUGIN} ${DIRECTORY}/.rdma-cni/${PROGRAM} && ln -s ${PROGRAM} ${CURRENT}; }`,
  );
}

export async function endAgent(): Promise<void> {
  if (kept?.agent.isRunning) {
    kept.agent.kill("SIGCONT");
    kept.agent.kill("SIGKILL");
  }
  await kept?.agent.ended;
  kept = undefined;
}
