/** The network namespaces that keep the mode from being changed, in words. */
import type { NetnsProcess, OtherNetnsList } from "../../kernel/admin_kernel.ts";

const COMMAND_LENGTH = 80;

/** Whether the kernel would change the mode now; undefined when not every process could be looked at. */
export function isChangeable({ namespaces, isComplete }: OtherNetnsList): boolean | undefined {
  if (namespaces.length > 0) return false;
  return isComplete ? true : undefined;
}

/** A paragraph for each namespace: number and paths, then a line for each process. */
export function formatOthers({ namespaces, isComplete }: OtherNetnsList): string {
  const lines = namespaces.flatMap(({ inode, paths, processes }) => [
    `  network namespace ${inode} ${
      paths.length > 0 ? `at ${paths.map(quoted).join(", ")}` : "without a path"
    }`,
    ...(processes.length > 0 ? processes.map(formatProcess) : ["    no process in it: its mount keeps it"]),
  ]);
  if (namespaces.length === 0) {
    lines.push("  none is found by way of /proc: one may be ending just now, or be kept by a socket alone");
  }
  if (!isComplete) {
    lines.push(
      "  there may be more: not all processes can be seen from here (run it as root, in the host's PID namespace)",
    );
  }
  return lines.join("\n");
}

function formatProcess({ pid, command, containerId, onlyOpen }: NetnsProcess): string {
  const short = command.length > COMMAND_LENGTH ? `${command.slice(0, COMMAND_LENGTH)}...` : command;
  const container = containerId === undefined ? "" : `, container ${containerId.slice(0, 12)}`;
  return `    process ${pid} ${quoted(short)}${container}${onlyOpen ? ", has it open" : ""}`;
}

/** Processes name themselves as they like; control characters must not reach a terminal. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
