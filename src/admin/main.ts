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
  const name = Deno.execPath().split("/").at(-1) ?? "rdma-cni";
  return await runCommand(name, args, new LinuxAdminKernel(), terminal);
}
