/** The command line: which words call which function. Only the commands load the library for it. */
import tab from "@bomb.sh/tab/commander";
import { Command, CommanderError } from "@commander-js/extra-typings";
import type { Command as PlainCommand } from "commander";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { CNI_VERSIONS } from "../cni/version.ts";
import { messageOf } from "../sys/errno.ts";
import { addAgentCommand } from "./agent/command.ts";
import { addDoctorCommand } from "./doctor/command.ts";
import { ENTRYPOINT, runEntrypoint } from "./entrypoint.ts";
import { CommandError, ExitCode, toCommandError } from "./errors.ts";
import { addGcCommand } from "./gc.ts";
import { addExamples } from "./help.ts";
import { addInstallCommand } from "./install/command.ts";
import { addNetnsModeCommand } from "./netns_mode/command.ts";
import { type DataFormat, isDataFormat } from "./output.ts";
import { addPodsCommand } from "./pods/command.ts";
import type { Context, Terminal } from "./terminal.ts";
import { addValidateCommand } from "./validate/command.ts";
import { addVersionCommand, formatVersion } from "./version.ts";
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
    if (error instanceof CommanderError && HELP.includes(error.code)) return ExitCode.ok;
    return report(terminal, name, toCommandError(error), findFormat(args));
  }
}

/** The library ends these with an exception after it has printed them. */
const HELP = ["commander.help", "commander.helpDisplayed", "commander.version"];

const ABOUT = `
Container runtimes run it as a chained plugin of type "rdma", with CNI_COMMAND set.
CNI protocol versions supported: ${CNI_VERSIONS.join(", ")}`;

/** The tree of all commands, without running any. */
export function createProgram(name: string, context: Context): Command {
  const { terminal } = context;
  const writeHelp = (text: string) => terminal.raw(text);
  const program = new Command(name)
    .description("Moves RDMA devices into pods: a CNI plugin, and the commands that set up a node for it.")
    .version(formatVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .addHelpText("after", ABOUT)
    .exitOverride()
    // Errors are printed where they are caught. What else is for standard error is the help of a command without the
    // subcommand that it takes.
    .configureOutput({ writeOut: writeHelp, writeErr: writeHelp, outputError: () => {} })
    .hook("preAction", (_, command) => {
      if (command.getOptionValue("json")) command.setOptionValue("output", "json");
      const { output, quiet } = command.opts();
      terminal.isQuiet = quiet === true;
      terminal.format = isDataFormat(output) ? output : undefined;
    });
  program.addHelpText("after", NOTES);
  addExamples(program, [
    ["netns-mode get", "print the RDMA namespace mode"],
    ["netns-mode set exclusive --persist", "each RDMA device in one namespace, now and after reboots"],
    ["vf-mac init --all", "give every virtual function the MAC address that RDMA connections need"],
    ["install --cni-bin-dir /opt/cni/bin", "install this program as the CNI plugin"],
    ["gc", "clean up after pods that are gone"],
    ["doctor", "show why RDMA works in this node's pods, or why not"],
    ["pods", "show which pod has which RDMA device"],
    ["validate 10-roce.conflist", "check a network configuration before a runtime uses it"],
    ["help netns-mode", "print the help of a command"],
  ]);
  addNetnsModeCommand(program, context);
  addVfMacCommand(program, context);
  addAgentCommand(program, context);
  addGcCommand(program, context);
  addDoctorCommand(program, context);
  addPodsCommand(program, context);
  addValidateCommand(program, context);
  addInstallCommand(program, context);
  addVersionCommand(program, context);
  addCompletionCommand(program);
  return program;
}

/** Returns the form for programs that a command line asks for, even if the rest of it is wrong. */
export function findFormat(args: readonly string[]): DataFormat | undefined {
  const lenient = new Command().allowUnknownOption().allowExcessArguments().helpOption(false)
    .option("-o, --output [FORMAT]").option("--json").option("-q, --quiet");
  const { json, output } = lenient.parse(args, { from: "user" }).opts();
  return json ? "json" : isDataFormat(output) ? output : undefined;
}

/** Prints why a command failed; for programs to standard output, where they expect its result. */
function report(
  terminal: Terminal,
  name: string,
  error: unknown,
  format: DataFormat | undefined,
): ExitCode {
  const { message, advice, exitCode: code } = error instanceof CommandError
    ? error
    : new CommandError(messageOf(error));
  const result = {
    code,
    value: { error: message, advice: advice ?? null, code },
    text: () => [`${name}: ${message}`, ...advice ? [advice] : []].map((error) => ({ error })),
  };
  terminal.format = format;
  try {
    return terminal.print(result);
  } catch {
    // Standard output cannot be written to.
    terminal.format = undefined;
    return terminal.print(result);
  }
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
