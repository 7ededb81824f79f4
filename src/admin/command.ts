/** The command line as people type it: which words call which function. Only here is the library for it loaded. */
import { Command, CommanderError } from "@commander-js/extra-typings";
import type { AdminKernel } from "../kernel/admin_kernel.ts";
import { VERSION } from "../version.ts";
import { addCompletionCommand } from "./completion.ts";
import type { Context } from "./context.ts";
import { CommandError, ExitCode } from "./error.ts";
import { addDoctorCommand } from "./doctor/command.ts";
import { toCommandError } from "./failure.ts";
import { addExamples } from "./help.ts";
import { addInstallCommand } from "./install/command.ts";
import { addNetnsModeCommand } from "./netns_mode/command.ts";
import type { Terminal } from "./terminal.ts";
import { addValidateCommand } from "./validate/command.ts";
import { addVfMacCommand } from "./vf_mac/command.ts";

/**
 * Runs a command line.
 *
 * @param name how the program was called, for its help
 * @returns the exit code
 */
export async function runCommand(
  name: string,
  args: readonly string[],
  kernel: AdminKernel,
  terminal: Terminal,
): Promise<ExitCode> {
  let exitCode: ExitCode = ExitCode.ok;
  const exit = (code: ExitCode) => {
    exitCode = code;
  };
  try {
    await createProgram(name, { kernel, terminal, exit }).parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    // Help and --version end in an exception too, with exit code 0; the library has printed already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    return report(terminal, name, toCommandError(error));
  }
}

/** The tree of all commands, without running any. */
export function createProgram(name: string, context: Context): Command {
  const { terminal } = context;
  const program = new Command(name)
    .description("Gives RDMA devices to pods: a CNI plugin, and the commands that set up a node for it.")
    .version(`rdma-cni ${VERSION}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .exitOverride()
    .showHelpAfterError("(add --help for what is possible)")
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) });
  addExamples(program, [
    ["netns-mode", "print the RDMA namespace mode"],
    ["netns-mode set exclusive --persist", "give each RDMA device to one namespace, now and after reboots"],
    ["vf-mac init --all", "give every virtual function the MAC address that RDMA connections need"],
    ["install --cni-bin-dir /opt/cni/bin", "put this program where runtimes find it"],
    ["doctor", "tell why RDMA works in this node's pods, or why not"],
    ["validate 10-roce.conflist", "check a network configuration before a runtime gets it"],
    ["help netns-mode", "tell more about a command"],
  ]);
  addNetnsModeCommand(program, context);
  addVfMacCommand(program, context);
  addDoctorCommand(program, context);
  addValidateCommand(program, context);
  addInstallCommand(program, context);
  addCompletionCommand(program);
  return program;
}

function report(terminal: Terminal, name: string, error: unknown): ExitCode {
  const message = error instanceof Error ? error.message : String(error);
  terminal.err(`${name}: ${message}\n`);
  if (!(error instanceof CommandError)) return ExitCode.failed;
  if (error.advice) terminal.err(`${error.advice}\n`);
  return error.exitCode;
}
