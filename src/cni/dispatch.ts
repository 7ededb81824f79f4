import type { Log } from "../log.ts";
import { type NetworkConfig, parseConfig } from "./config.ts";
import { type Command, type Environment, parseEnvironment } from "./environment.ts";
import { CniError, ErrorCode } from "./error.ts";
import { parseTraceId } from "./trace.ts";
import { CNI_VERSIONS, type CniVersion, isAtLeast, NEWEST_CNI_VERSION, SINCE } from "./version.ts";

/** The process around one call, as a value: tests run the whole protocol with maps and buffers. */
export interface Process {
  getEnv(name: string): string | undefined;
  /** All of standard input. */
  readInput(): string;
  /** Writes to standard output, which must carry exactly one JSON or nothing. */
  writeOutput(text: string): void;
  /** Adds a file to where the log goes. */
  openLogFile(path: string): void;
  readonly log: Log;
}

/** One call, understood and checked. */
export interface Call {
  readonly environment: Environment;
  readonly config: NetworkConfig;
  readonly log: Log;
}

/** What the plugin does. Failures are thrown as {@linkcode CniError}. */
export interface Handlers {
  /** @param print gives the result to the runtime; when it throws, nothing may be left done */
  add(call: Call, print: (result: string) => void): void;
  del(call: Call): void;
  check(call: Call): void;
  gc(call: Call): void;
  status(call: Call): void;
  /** Whether a path leads to the namespace that this process is in; false when it cannot be opened. */
  isOwnNetns(path: string): boolean;
}

/**
 * Does what CNI_COMMAND says.
 *
 * @returns the exit code: 0, or 1 after an error was printed as JSON
 */
export async function dispatch(process: Process, handlers: Handlers): Promise<number> {
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
    const config = await parseConfig(process.readInput(), environment.command);
    cniVersion = config.cniVersion;
    setUpLog(process, config);
    warnOfIgnoredKeys(process.log, config);
    assertCommandExists(environment.command, config);
    assertForeignNetns(environment, handlers);
    run(process, handlers, { environment, config, log: process.log });
    return 0;
  } catch (error) {
    return report(process, cniVersion, error, traceId);
  }
}

function run(process: Process, handlers: Handlers, call: Call): void {
  switch (call.environment.command) {
    case "ADD":
      return handlers.add(call, (result) => printLine(process, result));
    case "DEL":
      return handlers.del(call);
    case "CHECK":
      return handlers.check(call);
    case "GC":
      return handlers.gc(call);
    case "STATUS":
      return handlers.status(call);
  }
}

/** A whole line, since Deno keeps the half of one that could not be written, and would write it before the error. */
function printLine(process: Process, json: string): void {
  process.writeOutput(`${json}\n`);
}

function setUpLog(process: Process, config: NetworkConfig): void {
  const { log } = process;
  log.level = config.logLevel;
  if (!config.logFile) return;
  try {
    process.openLogFile(config.logFile);
  } catch (error) {
    log.warning(`Logging to standard error only: ${messageOf(error)}`);
  }
}

function warnOfIgnoredKeys(log: Log, { ignoredKeys }: NetworkConfig): void {
  if (!ignoredKeys) return;
  log.warning(
    `Ignoring keys of the network configuration whose values are wrong: ${ignoredKeys.join(", ")}; ` +
      '"rdma-cni validate" says what is wrong with them',
  );
}

function assertCommandExists(command: Command, { cniVersion }: NetworkConfig): void {
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
function assertForeignNetns({ command, netns, netnsOverride }: Environment, handlers: Handlers): void {
  if (command !== "ADD" || netnsOverride || !handlers.isOwnNetns(netns)) return;
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
