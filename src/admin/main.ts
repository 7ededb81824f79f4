import { LinuxAdminKernel } from "../kernel/linux_admin.ts";
import { currentProcess, writeError } from "../process.ts";
import { runCommand } from "./command.ts";

/**
 * Runs a command on this node, with this process's streams.
 *
 * @returns the exit code
 */
export async function runFromTerminal(args: readonly string[]): Promise<number> {
  const { writeOutput, getEnv } = currentProcess();
  const terminal = {
    out: writeOutput,
    err: writeError,
    showsProgress: Deno.stderr.isTerminal(),
    hasColor: Deno.stdout.isTerminal() && !getEnv("NO_COLOR"),
  };
  return await runCommand(calledAs(), args, new LinuxAdminKernel(), terminal);
}

/** The name that the program was called by, which a symbolic link may have given it. */
function calledAs(): string {
  const [path = ""] = Deno.readTextFileSync("/proc/self/cmdline").split("\0", 1);
  return path.split("/").at(-1) || "rdma-cni";
}
