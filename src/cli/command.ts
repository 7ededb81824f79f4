/** The command line: which words call which function. Only the commands load the library for it. */
import { Command, CommanderError, Help } from "@commander-js/extra-typings";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { CNI_VERSIONS } from "../cni/version.ts";
import { addAgentCommand } from "./agent/command.ts";
import { addDoctorCommand } from "./doctor/command.ts";
import { ENTRYPOINT, runEntrypoint } from "./entrypoint.ts";
import { addCompletionCommand } from "./completion.ts";
import { ExitCode, toUsageError } from "./errors.ts";
import { addGcCommand } from "./gc.ts";
import { addExamples, addHelpCommand, addNotes, type AnyCommand, pathOf, wrap } from "./help.ts";
import { addInstallCommand } from "./install/command.ts";
import { addNetnsModeCommand } from "./netns_mode/command.ts";
import { type DataFormat, isDataFormat } from "./output.ts";
import { addPodsCommand } from "./pods/command.ts";
import type { Context, Terminal } from "./terminal.ts";
import { addValidateCommand } from "./validate/command.ts";
import { addVersionCommand, formatVersion } from "./version.ts";
import { addVfMacCommand } from "./vf_mac/command.ts";
import { toResult } from "./watch.ts";

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
  terminal.program = name;
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
    if (error instanceof CommanderError) return ExitCode.ok; // it has printed the help, or the version
    return report(terminal, error, findFormat(args));
  }
}

/** Columns of the help that no terminal shows. */
const HELP_COLUMNS = 80;

const ABOUT = `
Container runtimes run it as a chained plugin of type "rdma", with CNI_COMMAND set.

CNI protocol versions supported: ${CNI_VERSIONS.join(", ")}`;

/** The tree of all commands, without running any. */
export function createProgram(name: string, context: Context): Command {
  const { terminal } = context;
  const writeHelp = (text: string) => terminal.raw(wrap(text, terminal.columns ?? HELP_COLUMNS));
  const [getOutHelpWidth, getErrHelpWidth] = [() => Infinity, () => Infinity];
  const program = new Command(name)
    .description("Moves RDMA devices into pods: a CNI plugin, and the commands that set up a node for it.")
    .version(formatVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .configureHelp({ commandUsage: inCapitals("commandUsage"), subcommandTerm: inCapitals("subcommandTerm") })
    // Errors are printed where they are caught. What else is for standard error is the help of a command without the
    // subcommand that it takes.
    .configureOutput({
      writeOut: writeHelp,
      writeErr: writeHelp,
      outputError: () => {},
      getOutHelpWidth,
      getErrHelpWidth,
    })
    .hook("preAction", (_, command) => {
      if (command.getOptionValue("json")) command.setOptionValue("output", "json");
      const { output, quiet } = command.opts();
      terminal.isQuiet = quiet === true;
      terminal.format = isDataFormat(output) ? output : undefined;
    });
  addNotes(program, ABOUT);
  addNotes(program, NOTES);
  addExamples(program, [
    ["doctor", "show why RDMA works in this node's pods, or why not"],
    ["pods", "show which pod has which RDMA device"],
    ["netns-mode get", "print the RDMA namespace mode"],
    ["netns-mode set exclusive --persist", "each RDMA device in one namespace, now and after reboots"],
    ["vf-mac init --all", "give every virtual function the MAC address that RDMA connections need"],
    ["validate 10-roce.conflist", "check a network configuration before a runtime uses it"],
    ["gc", "clean up after deleted pods"],
    ["install --cni-bin-dir /opt/cni/bin", "install this program as the CNI plugin"],
    ["help netns-mode", "print the help of a command"],
  ]);
  addDoctorCommand(program, context);
  addPodsCommand(program, context);
  addNetnsModeCommand(program, context);
  addVfMacCommand(program, context);
  addValidateCommand(program, context);
  addGcCommand(program, context);
  addAgentCommand(program, context);
  addInstallCommand(program, context);
  addVersionCommand(program, context);
  addCompletionCommand(program, context);
  finish(program);
  return program;
}

/** Makes a part of the help with the library's own placeholders in capitals, as ours are. */
function inCapitals(part: "commandUsage" | "subcommandTerm") {
  const placeholders = /\[(?:options|command)\]/g;
  return (command: AnyCommand) =>
    new Help()[part](command).replaceAll(placeholders, (word) => word.toUpperCase());
}

/** Gives a command and those below it what needs all of them: `help`, and usage errors that name it. */
function finish(command: AnyCommand): void {
  if (command.commands.length > 0) addHelpCommand(command);
  command.commands.forEach(finish);
  command.exitOverride((error) => {
    throw error.exitCode === 0 || error.code === "commander.help"
      ? error
      : toUsageError(error, pathOf(command));
  });
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
  error: unknown,
  format: DataFormat | undefined,
): ExitCode {
  const result = toResult(error);
  terminal.format = format;
  try {
    return terminal.print(result);
  } catch {
    // Standard output cannot be written to.
    terminal.format = undefined;
    return terminal.print(result);
  }
}
