/** The process of the agent: its socket, its signals, and what it does between calls. */
import { LinuxNodeKernel } from "../kernel/linux.ts";
import { Log } from "../log.ts";
import { collectStale, describeOutcome, isLeft } from "../node/garbage.ts";
import { formatMetrics } from "../node/metrics.ts";
import { collect } from "../node/pods.ts";
import { INDEX_DIRECTORY, Memo } from "../plugin/record/memo.ts";
import { openRecorded } from "../plugin/record/namespaces.ts";
import { State, STATE_DIRECTORY } from "../plugin/record/state.ts";
import { writeError } from "../cni/stdio.ts";
import { messageOf } from "../sys/errno.ts";
import { directoryOf, explainUnsafeDirectory, ifPresent } from "../sys/files.ts";
import { releaseMemory } from "../sys/libc.ts";
import { assertInHostNetns } from "../sys/netns.ts";
import { Agent, type AgentState } from "./agent.ts";
import { askAgent } from "./ask.ts";
import { type Address, serveMetrics } from "./http.ts";

/** How often the agent looks whether it is installed, can be reached, and may go on. */
const CHECK_MS = 5000;

/** The options of an agent, which the command line has checked. */
export interface AgentOptions {
  readonly socket: string;
  /** The pause between two collections of garbage; 0: never. */
  readonly gcIntervalMs: number;
  readonly metrics?: Address | undefined;
}

/**
 * Serves until a signal ends this process, or another version is installed.
 *
 * @returns the exit code, when it cannot begin or may not go on
 */
export async function runAgent(options: AgentOptions): Promise<number> {
  const log = new Log(writeError);
  try {
    return await serve(options, log);
  } catch (error) {
    log.error(messageOf(error));
    return 1;
  }
}

async function serve({ socket, gcIntervalMs, metrics }: AgentOptions, log: Log): Promise<never> {
  const executable = Deno.execPath();
  const program = executable.slice(executable.lastIndexOf("/") + 1);
  const current = `${directoryOf(executable)}/current`;
  if (readLink(current) !== program) throw notInstalled(executable);

  const directory = directoryOf(socket);
  makeDirectory(directory);
  const kernel = new LinuxNodeKernel();
  if (!kernel.lock(directory, 0)) throw alreadyRuns(socket); // held until this process ends
  const state = new State(STATE_DIRECTORY);
  if (metrics) serveMetrics(metrics, () => readMetrics(state));
  ifPresent(() => Deno.removeSync(socket)); // of an agent that was killed
  const agent = new Agent(socket, program, log, kernel);

  const end = (reason: string) => {
    log.info(`The agent ends: ${reason}`);
    ifPresent(() => Deno.removeSync(socket));
    Deno.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => end(signal));
  let callsBefore = 0;
  const stray = new Promise<never>((_, reject) => {
    setInterval(() => {
      const { calls } = agent.state;
      if (calls !== callsBefore) releaseMemory();
      callsBefore = calls;
      if (readLink(current) !== program) end(`${program} is not the installed version any more`);
      if (!ifPresent(() => Deno.lstatSync(socket))) end(`somebody has removed ${socket}`);
      try {
        assertInHostNetns(); // also after metrics and gc
      } catch (error) {
        reject(error);
      }
    }, CHECK_MS);
  });
  if (gcIntervalMs > 0) void collectAgainAndAgain(state, log, gcIntervalMs);
  log.info(`The agent serves on ${socket} (${program})`);
  return await Promise.race([agent.serve(), stray]);
}

function readMetrics(state: State): string {
  const kernel = new LinuxNodeKernel();
  try {
    return formatMetrics(collect(kernel, state));
  } finally {
    kernel.closeSockets(); // a list that was not read to its end must not answer the next request
  }
}

/** A failure is logged and ends nothing: its cause may have gone the next time. */
async function collectAgainAndAgain(state: State, log: Log, pauseMs: number): Promise<never> {
  const kernel = new LinuxNodeKernel();
  for (;;) {
    try {
      await collectGarbage(kernel, state, log);
    } catch (error) {
      log.error(`Cannot clean up after pods that are gone: ${messageOf(error)}`);
    }
    kernel.closeSockets(); // as after a reading of the metrics
    await kernel.delay(pauseMs);
  }
}

/** To look at all processes takes time, in which no call is done; so it comes only when a record is odd. */
async function collectGarbage(kernel: LinuxNodeKernel, state: State, log: Log): Promise<void> {
  if (state.list().every(({ netns }) => netns && isThere(kernel, netns))) return;
  const node = { kernel, state, indexes: new Memo(INDEX_DIRECTORY) };
  const steps = collectStale(node, log);
  let step = steps.next();
  for (; !step.done; step = steps.next()) {
    log.info(describeOutcome(step.value));
    await kernel.delay(0); // calls go first
  }
  const { records, unreadable } = step.value;
  for (const one of records.filter(isLeft)) log.warning(describeOutcome(one));
  for (const { fault } of unreadable) log.warning(fault);
}

function isThere(kernel: LinuxNodeKernel, recorded: Parameters<typeof openRecorded>[1]): boolean {
  using netns = openRecorded(kernel, recorded);
  return netns !== undefined;
}

/** Makes the directory for the socket, or makes sure that nobody but root can put one there. */
function makeDirectory(path: string): void {
  const found = ifPresent(() => Deno.lstatSync(path));
  if (!found) return Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
  const fault = explainUnsafeDirectory(found);
  if (fault === undefined) return;
  throw new Error(
    `Cannot use ${JSON.stringify(path)}: ${fault}, want a directory of root that nobody else can write to. ` +
      "Whoever can write to it could take the agent's place: find out who made it, and remove it",
  );
}

function readLink(path: string): string | undefined {
  return ifPresent(() => Deno.lstatSync(path).isSymlink ? Deno.readLinkSync(path) : undefined);
}

function alreadyRuns(socket: string): Error {
  let first: string;
  try {
    const { pid, version, since }: AgentState = JSON.parse(askAgent(socket, "json"));
    first = `process ${pid} of version ${version} has been serving since ${since}`;
  } catch (error) {
    first = `another process has locked its directory. ${messageOf(error)}`;
  }
  return new Error(
    `Cannot serve on ${JSON.stringify(socket)}: ${first}. "fuser -v ${
      directoryOf(socket)
    }" shows the process`,
  );
}

function notInstalled(executable: string): Error {
  return new Error(
    `Cannot be the agent: ${
      JSON.stringify(executable)
    } is not the installed plugin, which calls would execute. ` +
      'Install it ("rdma-cni install --cni-bin-dir /opt/cni/bin") and run "/opt/cni/bin/rdma agent"',
  );
}
