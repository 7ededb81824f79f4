/** From a container to the node: its directory, its namespaces, and the program that is installed there. */
import { messageOf, SyscallError } from "../../sys/errno.ts";
import { openForReading } from "../../sys/fd.ts";
import { check } from "../../sys/libc.ts";
import { replaceProcess } from "../../sys/signals.ts";
import { CommandError } from "../errors.ts";
import { pluginIn } from "../install/layout.ts";

/** The namespaces of the node's first process in which the plugin works. The network's first: /proc is the container's yet. */
const NAMESPACES = ["net", "mnt"];

/**
 * Replaces this process by the plugin of a directory of the node, with an empty environment, in the network and mount
 * namespaces of the node's first process. So paths, and the file that runs, are those of executed calls.
 *
 * @param args of the plugin, without its name
 * @throws {CommandError} when the container does not have the node's processes, or not the rights
 */
export function runOnHost(directory: string, args: readonly string[]): never {
  if (Deno.readLinkSync("/proc/self/ns/mnt") === Deno.readLinkSync("/proc/1/ns/mnt")) {
    throw new CommandError(
      "Cannot enter the node: process 1 has the mount namespace of this container, want the node's first process",
      'Run the container with the host\'s processes ("hostPID: true").',
    );
  }
  const plugin = pluginIn(directory);
  try {
    for (const namespace of NAMESPACES) {
      const path = `/proc/1/ns/${namespace}`;
      using file = openForReading(path);
      check(`enter ${JSON.stringify(path)}`, (c) => c.setns(file.number, 0));
    }
    return replaceProcess(plugin, [plugin, ...args]);
  } catch (cause) {
    if (!(cause instanceof SyscallError)) throw cause;
    throw new CommandError(
      `Cannot run ${JSON.stringify(plugin)} on the node: ${messageOf(cause)}`,
      "The container must be privileged, and --host-cni-bin-dir the directory as the node calls it.",
      undefined,
      { cause },
    );
  }
}
