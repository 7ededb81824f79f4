import type { Log, LogLevel } from "../log.ts";
import { type Command, type Environment, parseEnvironment, parseTraceId } from "./environment.ts";
import { CniError, ErrorCode } from "./error.ts";
import type { ChainedConfig } from "./result.ts";
import { CNI_VERSIONS, type CniVersion, isAtLeast, NEWEST_CNI_VERSION, SINCE } from "./version.ts";
import { messageOf } from "../sys/errno.ts";

/** The process around one call, as a value: tests run the whole protocol with maps and buffers. */
export interface Process {
  getEnv(name: string): string | undefined;
  /** All of standard input. */
  readInput(): string;
  /**
   * Writes to standard output, which must carry exactly one JSON or nothing.
   *
   * @param undo takes back what the call did, for who finds out later that nobody got the text; it does not throw
   */
  writeOutput(text: string, undo?: () => void): void;
  /** Adds a file to where the log goes. */
  openLogFile(path: string): void;
  readonly log: Log;
}

/** The network configuration as far as the protocol itself reads it; a plugin's has more. */
export interface Config extends ChainedConfig {
  readonly logLevel: LogLevel;
  readonly logFile?: string;
  /** DEL and GC: paths of the keys that have a wrong value and were therefore taken for absent, if there are any. */
  readonly ignoredKeys?: readonly string[];
}

/** One call, understood and checked. */
export interface Call<C extends Config = Config> {
  readonly environment: Environment;
  readonly config: C;
  readonly log: Log;
}

/** The outcome of an ADD. */
export interface Added {
  /** JSON for the runtime. */
  readonly result: string;
  /** Takes back what this call did, when the runtime cannot be told of it. Does not throw. */
  undo(): void;
}

/** A plugin. Failures are thrown as {@linkcode CniError}. */
export interface Plugin<C extends Config> {
  /** @param text JSON as it came on standard input */
  parseConfig(text: string, command: Command): Promise<C>;
  add(call: Call<C>): Added;
  del(call: Call<C>): void;
  check(call: Call<C>): void;
  gc(call: Call<C>): void;
  status(call: Call<C>): void;
  /** Returns whether a path leads to the namespace that this process is in; false when it cannot be opened. */
  isOwnNetns(path: string): boolean;
}

/**
 * Does what CNI_COMMAND says.
 *
 * @returns the exit code: 0, or 1 after an error was printed as JSON
 */
export async function dispatch<C extends Config>(process: Process, plugin: Plugin<C>): Promise<number> {
  let cniVersion: CniVersion = NEWEST_CNI_VERSION;
  const traceId = parseTraceId(process.getEnv("TRACEPARENT"));
  const trace = traceId === undefined ? {} : { traceID: traceId };
  process.log.labels = trace;
  try {
    const environment = parseEnvironment(process.getEnv);
    const { containerId, netns, ifname } = environment;
    process.log.labels = { containerID: containerId, netns, ifname, ...trace };
    if (environment.command === "VERSION") {
      printLine(process, JSON.stringify({ cniVersion, supportedVersions: CNI_VERSIONS }));
      return 0;
    }
    const config = await plugin.parseConfig(process.readInput(), environment.command);
    cniVersion = config.cniVersion;
    setUpLog(process, config);
    warnOfIgnoredKeys(process.log, config);
    assertCommandExists(environment.command, config);
    assertForeignNetns(environment, plugin);
    run(process, plugin, { environment, config, log: process.log });
    return 0;
  } catch (error) {
    return report(process, cniVersion, error, traceId);
  }
}

function run<C extends Config>(process: Process, plugin: Plugin<C>, call: Call<C>): void {
  switch (call.environment.command) {
    case "ADD": {
      const { result, undo } = plugin.add(call);
      return printLine(process, result, undo);
    }
    case "DEL":
      return plugin.del(call);
    case "CHECK":
      return plugin.check(call);
    case "GC":
      return plugin.gc(call);
    case "STATUS":
      return plugin.status(call);
  }
}

/** A whole line, since Deno keeps the half of one that could not be written, and would write it before the error. */
function printLine(process: Process, json: string, undo?: () => void): void {
  try {
    process.writeOutput(`${json}\n`, undo);
  } catch (error) {
    undo?.();
    throw error;
  }
}

function setUpLog(process: Process, config: Config): void {
  const { log } = process;
  log.level = config.logLevel;
  if (!config.logFile) return;
  try {
    process.openLogFile(config.logFile);
  } catch (error) {
    log.warning(`Logging to standard error only: ${messageOf(error)}`);
  }
}

function warnOfIgnoredKeys(log: Log, { ignoredKeys }: Config): void {
  if (!ignoredKeys) return;
  log.warning(
    `Ignoring keys of the network configuration whose values are wrong: ${ignoredKeys.join(", ")}; ` +
      '"rdma-cni validate" says what is wrong with them',
  );
}

function assertCommandExists(command: Command, { cniVersion }: Config): void {
  const since = SINCE[command];
  if (!since || isAtLeast(cniVersion, since)) return;
  throw new CniError(
    ErrorCode.incompatibleVersion,
    `Cannot ${command}: the configuration has cniVersion "${cniVersion}", want "${since}" or newer`,
  );
}

/**
 * Moving a device "into the pod" would be a reset of the host's device if the pod's namespace were the host's. DEL goes
 * by its record, so it is not held up.
 */
function assertForeignNetns(
  { command, netns, netnsOverride }: Environment,
  plugin: Pick<Plugin<never>, "isOwnNetns">,
): void {
  if (command !== "ADD" || netnsOverride || !plugin.isOwnNetns(netns)) return;
  throw new CniError(
    ErrorCode.invalidNetns,
    `Cannot ${command}: CNI_NETNS ${JSON.stringify(netns)} is the plugin's own network namespace`,
    "pods in the host's network see its RDMA devices already; to run the plugin there set CNI_NETNS_OVERRIDE=1",
  );
}

function report(
  process: Process,
  cniVersion: CniVersion,
  error: unknown,
  traceId: string | undefined,
): number {
  const { code, message, details } = error instanceof CniError ? error : {
    code: ErrorCode.internal,
    message: messageOf(error),
    details: error instanceof Error ? error.stack : undefined,
  };
  process.log.error(details ? `${message} (${details})` : message);
  const traced = [details, traceId && `trace ${traceId}`].filter((part) => part).join("; ");
  try {
    printLine(
      process,
      JSON.stringify({ cniVersion, code, msg: message, ...(traced ? { details: traced } : {}) }),
    );
  } catch (cause) {
    process.log.error(`Cannot write the error to standard output: ${messageOf(cause)}`);
  }
  return 1;
}
