/** The command line as people type it: which words call which function. Only here is the library for it loaded. */
import tab from "@bomb.sh/tab/commander";
import { Command, CommanderError } from "@commander-js/extra-typings";
import type { Command as PlainCommand } from "commander";
import type { NodeKernel } from "../kernel/kernel.ts";
import { VERSION } from "../version.ts";
import { addDoctorCommand } from "./doctor/command.ts";
import { CommandError, ExitCode, toCommandError } from "./errors.ts";
import { addExamples } from "./help.ts";
import { addInstallCommand } from "./install/command.ts";
import { addNetnsModeCommand } from "./netns_mode/command.ts";
import type { Context, Terminal } from "./terminal.ts";
import { addValidateCommand } from "./validate/command.ts";
import { addVfMacCommand } from "./vf_mac/command.ts";
import { messageOf } from "../sys/errno.ts";

/**
 * Runs a command line.
 *
 * @param name how the program was called, for its help
 * @returns the exit code
 */
export async function runCommand(
  name: string,
  args: readonly string[],
  kernel: NodeKernel,
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
  const message = messageOf(error);
  terminal.err(`${name}: ${message}\n`);
  if (!(error instanceof CommandError)) return ExitCode.failed;
  if (error.advice) terminal.err(`${error.advice}\n`);
  return error.exitCode;
}

const NAME = "completion";
const DESCRIPTION = "print a script that makes a shell complete commands and options";
const SHELLS = ["bash", "zsh", "fish"];

/**
 * Adds `completion SHELL`, which prints a script, and the hidden `complete`, which that script asks. Both know the
 * commands that are there by now, so this comes last. Descriptions must be single lines.
 */
function addCompletionCommand(program: Command): void {
  const completions = tab(program as unknown as PlainCommand, { completionCommandName: NAME });
  const command = program.commands.find((command) => command.name() === NAME)!;
  command.description(DESCRIPTION);
  command.registeredArguments[0]!.choices(SHELLS).description = "the shell";
  // The library offers a shell more, which Linux nodes do not have.
  completions.command(NAME, DESCRIPTION)
    .argument("shell", (suggest) => SHELLS.forEach((shell) => suggest(shell, "")));
  addExamples(command, [
    ["completion bash > /usr/share/bash-completion/completions/rdma-cni", "for all users of bash"],
    ["completion zsh > /usr/local/share/zsh/site-functions/_rdma-cni", "of zsh"],
    ["completion fish > /etc/fish/completions/rdma-cni.fish", "of fish"],
  ]);
}
