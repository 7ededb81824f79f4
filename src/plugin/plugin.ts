import type { Plugin } from "../cni/dispatch.ts";

import { add } from "./add.ts";
import { check } from "./check.ts";
import { type NetworkConfig, parseConfig } from "./config/config.ts";
import { del } from "./del.ts";
import { withDelegate } from "./features/delegate.ts";
import { toCniError } from "./errors.ts";
import { gc } from "./gc.ts";
import type { Node } from "./node.ts";
import { status } from "./status.ts";

/** The plugin for the CNI protocol; its failures are CNI errors. */
export function createPlugin(node: Node): Plugin<NetworkConfig> {
  return withDelegate({
    parseConfig,
    add: (call) => explained(() => add(call, node)),
    del: (call) => explained(() => del(call, node)),
    check: (call) => explained(() => check(call, node)),
    gc: (call) => explained(() => gc(call, node)),
    status: (call) => explained(() => status(call, node)),
    isOwnNetns: (path) => node.kernel.isHostNetns(path),
  });
}

function explained<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toCniError(error);
  }
}
