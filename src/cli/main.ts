/** Entry of the commands. */
import { currentProcess, writeError, writeText } from "../cni/stdio.ts";
import { LinuxNodeKernel } from "../kernel/linux.ts";
import { messageOf } from "../sys/errno.ts";
import { runCommand } from "./command.ts";
import { CommandError } from "./errors.ts";
import { Terminal } from "./terminal.ts";

/**
 * Runs a command on this node, with this process's streams.
 *
 * @returns the exit code
 */
export async function runFromTerminal(args: readonly string[]): Promise<number> {
  return await runCommand(calledAs(), args, new LinuxNodeKernel(), new ProcessTerminal());
}

/** This process's streams. */
class ProcessTerminal extends Terminal {
  isClosed = false;
  readonly showsProgress = Deno.stderr.isTerminal();
  readonly hasColor = Deno.stdout.isTerminal() && !currentProcess().getEnv("NO_COLOR");

  get columns(): number | undefined {
    return Deno.stdout.isTerminal() ? Deno.consoleSize().columns || undefined : undefined; // 0 on a serial line
  }

  protected writeOut(text: string): void {
    this.isClosed ||= !print(text);
  }

  protected writeErr(text: string): void {
    writeError(text);
  }
}

/** @returns false when the reader of the output has ended, as `head` does: then nobody misses the rest */
function print(text: string): boolean {
  try {
    writeText(text);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return false;
    throw new CommandError(`Cannot write to standard output: ${messageOf(error)}`);
  }
}

/** The name that the program was called by, possibly that of a symbolic link. */
function calledAs(): string {
  const [path = ""] = Deno.readTextFileSync("/proc/self/cmdline").split("\0", 1);
  return path.split("/").at(-1) || "rdma-cni";
}
