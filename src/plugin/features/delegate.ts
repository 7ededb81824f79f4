/** Delegation: the plugin runs another one, so that one call does what a chain of the two does. */
import type { Plugin } from "../../cni/dispatch.ts";
import type { Command } from "../../cni/environment.ts";
import { pluginFailed, quote, runPlugin } from "../../cni/invoke.ts";
import type { Result } from "../../cni/result.ts";
import { messageOf } from "../../sys/errno.ts";
import { type Call, keepNumber, type NetworkConfig } from "../config/config.ts";
import { KEYS } from "../config/keys.ts";
import { findFaults, isObject } from "../config/rules.ts";

/**
 * The plugin together with the delegate that a configuration names; without one, the plugin alone.
 *
 * ADD, CHECK and STATUS begin with the delegate, DEL and GC end with it. As in libcni's chains, the first failure ends a
 * call, except GC. So DEL leaves the delegate's function alone while an RDMA device cannot be restored.
 *
 * @param run runs the delegate
 */
export function withDelegate(plugin: Plugin<NetworkConfig>, run = runPlugin): Plugin<NetworkConfig> {
  const runDelegate = (command: Command, { config: { delegate }, environment }: Call): string =>
    delegate ? run(delegate, command, environment) : "";
  /** For what has failed already. */
  const tryDelegate = (command: Command, call: Call): void => {
    try {
      runDelegate(command, call);
    } catch (error) {
      call.log.error(`The delegate failed too: ${messageOf(error)}`);
    }
  };
  return {
    ...plugin,
    add(call) {
      const { config } = call;
      if (!config.delegate) return plugin.add(call);
      const output = runDelegate("ADD", call);
      try {
        const prevResult = parseResult(output, config.delegate.type);
        const { result, undo } = plugin.add({ ...call, config: { ...config, prevResult } });
        return {
          result,
          undo() {
            undo();
            tryDelegate("DEL", call);
          },
        };
      } catch (error) {
        tryDelegate("DEL", call);
        throw error;
      }
    },
    del(call) {
      plugin.del(call);
      runDelegate("DEL", call);
    },
    check(call) {
      runDelegate("CHECK", call);
      plugin.check(call);
    },
    gc(call) {
      try {
        plugin.gc(call);
      } catch (error) {
        tryDelegate("GC", call);
        throw error;
      }
      runDelegate("GC", call);
    },
    status(call) {
      runDelegate("STATUS", call);
      plugin.status(call);
    },
  };
}

/** @throws {CniError} code 4 when the delegate printed something else */
function parseResult(output: string, type: string): Result {
  let value: unknown;
  try {
    value = JSON.parse(output, keepNumber);
  } catch {
    // Said below.
  }
  if (isObject(value) && findFaults(value, KEYS.prevResult.keys).length === 0) return value;
  throw pluginFailed(type, "ADD", `it printed no result, but ${quote(output)}`);
}
