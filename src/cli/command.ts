/** The command line: which words call which function. Only the commands load the library for it. */
import tab from "@bomb.sh/tab/commander";
import { Command, CommanderError } from "@commander-js/extra-typings";
import type { Command as PlainCommand } from "commander";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { messageOf } from "../sys/errno.ts";
import { VERSION } from "../version.ts";
import { addDoctorCommand } from "./doctor/command.ts";
import { ENTRYPOINT, runEntrypoint } from "./entrypoint.ts";
import { CommandError, ExitCode, toCommandError } from "./errors.ts";
import { addGcCommand } from "./gc.ts";
import { addExamples } from "./help.ts";
import { addInstallCommand } from "./install/command.ts";
import { addNetnsModeCommand } from "./netns_mode/command.ts";
import { addPodsCommand } from "./pods/command.ts";
import type { Context, Terminal } from "./terminal.ts";
import { addValidateCommand } from "./validate/command.ts";
import { addVfMacCommand } from "./vf_mac/command.ts";

const NOTES = `
Exit codes:
  0  fine
  1  problems were found, or the command failed
  2  wrong command line, or what it names cannot be read; nothing was done
  3  done only in part, or warnings only
  4  a reboot is needed`;

/**
 * Runs a command line.
 *
 * @param name the name that the program was called by, for its help
 * @returns the exit code
 */
export async function runCommand(
  name: string,
  args: readonly string[],
  kernel: NodeKernel,
  terminal: Terminal,
): Promise<ExitCode> {
  if (args[0] === ENTRYPOINT) {
    return await runEntrypoint(args.slice(1), terminal, (line) => runCommand(name, line, kernel, terminal));
  }
  let exitCode: ExitCode = ExitCode.ok;
  const exit = (code: ExitCode) => {
    exitCode = code;
  };
  try {
    await createProgram(name, { kernel, terminal, exit }).parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    // Help and --version also end in an exception, with exit code 0. The library has already printed.
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    return report(terminal, name, toCommandError(error));
  }
}

/** The tree of all commands, without running any. */
export function createProgram(name: string, context: Context): Command {
  const { terminal } = context;
  const program = new Command(name)
    .description("Moves RDMA devices into pods: a CNI plugin, and the commands that set up a node for it.")
    .version(`rdma-cni ${VERSION}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .exitOverride()
    .showHelpAfterError("(try --help)")
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) });
  program.addHelpText("after", NOTES);
  addExamples(program, [
    ["netns-mode", "print the RDMA namespace mode"],
    ["netns-mode set exclusive --persist", "each RDMA device in one namespace, now and after reboots"],
    ["vf-mac init --all", "give every virtual function the MAC address that RDMA connections need"],
    ["install --cni-bin-dir /opt/cni/bin", "install this program as the CNI plugin"],
    ["gc", "restore the RDMA devices that pods which are gone have left"],
    ["doctor", "show why RDMA works in this node's pods, or why not"],
    ["pods", "show which pod has which RDMA device"],
    ["validate 10-roce.conflist", "check a network configuration before a runtime uses it"],
    ["help netns-mode", "print the help of a command"],
  ]);
  addNetnsModeCommand(program, context);
  addVfMacCommand(program, context);
  addGcCommand(program, context);
  addDoctorCommand(program, context);
  addPodsCommand(program, context);
  addValidateCommand(program, context);
  addInstallCommand(program, context);
  addCompletionCommand(program);
  return program;
}

function report(terminal: Terminal, name: string, error: unknown): ExitCode {
  const message = messageOf(error);
  terminal.err(`${name}: ${message}\n`);
  if (!(error instanceof CommandError)) return ExitCode.failed;
  if (error.advice) terminal.err(`${error.advice}\n`);
  return error.exitCode;
}

const COMPLETION = "completion";
const COMPLETION_DESCRIPTION = "print a completion script for a shell";
const SHELLS = ["bash", "zsh", "fish"];

/**
 * Adds `completion SHELL`, which prints a script, and the hidden `complete`, which that script calls. Both
 * know only the commands that were added before, so this comes last. Descriptions must be single lines.
 */
function addCompletionCommand(program: Command): void {
  const completions = tab(program as unknown as PlainCommand, { completionCommandName: COMPLETION });
  const command = program.commands.find((command) => command.name() === COMPLETION)!;
  command.description(COMPLETION_DESCRIPTION);
  command.registeredArguments[0]!.choices(SHELLS).description = "the shell";
  // The library also offers PowerShell.
  completions.command(COMPLETION, COMPLETION_DESCRIPTION)
    .argument("shell", (suggest) => SHELLS.forEach((shell) => suggest(shell, "")));
  addExamples(command, [
    ["completion bash > /usr/share/bash-completion/completions/rdma-cni", "for all users of bash"],
    ["completion zsh > /usr/local/share/zsh/site-functions/_rdma-cni", "for all users of zsh"],
    ["completion fish > /etc/fish/completions/rdma-cni.fish", "for all users of fish"],
  ]);
}
