/** Running another plugin, as libcni does for the plugins of a chain (pkg/invoke). */
import { errnoOf, ETXTBSY, messageOf, quietly } from "../sys/errno.ts";
import { sleep } from "../sys/libc.ts";
import { type ProgramEnd, runProgram } from "../sys/program.ts";
import type { Command, Environment } from "./environment.ts";
import { CniError, ErrorCode } from "./error.ts";

/** A whole network configuration for another plugin. */
export type PluginConfig = Readonly<Record<string, unknown>> & { readonly type: string };

/**
 * Runs the plugin that a configuration names, with this process's environment but for CNI_COMMAND. There is no time
 * limit: the runtime has one.
 *
 * @returns what the plugin printed
 * @throws {CniError} the plugin's error as it is; code 4 when it is not in CNI_PATH, cannot be started, is killed, or
 *   fails without an error
 */
export function runPlugin(
  config: PluginConfig,
  command: Command,
  { pluginDirectories }: Pick<Environment, "pluginDirectories">,
): string {
  const { type } = config;
  const path = pluginDirectories.map((directory) => `${directory}/${type}`).find(isFile);
  if (path === undefined) {
    throw pluginFailed(type, command, `it is not in CNI_PATH ${JSON.stringify(pluginDirectories.join(":"))}`);
  }
  let end: ProgramEnd;
  try {
    end = runWhenWritten(path, JSON.stringify(config), { CNI_COMMAND: command });
  } catch (cause) {
    throw pluginFailed(type, command, messageOf(cause), { cause });
  }
  const { code, signal, output } = end;
  if (signal !== null) throw pluginFailed(type, command, `${signal} killed it`);
  if (code === 0) return output;
  throw parseError(output) ??
    pluginFailed(type, command, `it exited with ${code} and printed no error, but ${quote(output)}`);
}

/** Another plugin did not do its part. */
export function pluginFailed(
  type: string,
  command: Command,
  reason: string,
  options?: ErrorOptions,
): CniError {
  return new CniError(
    ErrorCode.invalidEnvironment,
    `Cannot run ${command} of plugin ${JSON.stringify(type)}: ${reason}`,
    "install that plugin in a directory of CNI_PATH; its own messages are on standard error",
    options,
  );
}

const QUOTED_LENGTH = 200;

/** The start of what a plugin printed, for messages. */
export function quote(output: string): string {
  return JSON.stringify(output.length > QUOTED_LENGTH ? `${output.slice(0, QUOTED_LENGTH)}...` : output);
}

/** @returns undefined when a text is not an error (CNI 1.1 SPEC.md, section "Error") */
function parseError(text: string): CniError | undefined {
  try {
    const { code, msg, details } = JSON.parse(text);
    if (typeof code !== "number" || typeof msg !== "string") return undefined;
    return new CniError(code, msg, typeof details === "string" ? details : undefined);
  } catch {
    return undefined;
  }
}

function isFile(path: string): boolean {
  return quietly(() => Deno.statSync(path).isFile) ?? false;
}

/** As often and as far apart as libcni tries. */
const ATTEMPTS = 6;
const PAUSE_MS = 1000;

/** Runs a program; while its installer is writing it, the kernel refuses, so that is tried again. */
function runWhenWritten(path: string, input: string, variables: Record<string, string>): ProgramEnd {
  for (let attempt = 1;; attempt++) {
    try {
      return runProgram(path, input, variables);
    } catch (error) {
      if (errnoOf(error) !== ETXTBSY || attempt === ATTEMPTS) throw error;
      sleep(PAUSE_MS);
    }
  }
}
