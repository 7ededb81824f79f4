/** The image's entry point, which takes the arguments of the Go plugin's image: operators and manifests pass them. */
import { Command, type CommanderError } from "@commander-js/extra-typings";
import { ExitCode, toUsageError } from "./errors.ts";
import { DIRECTORY } from "./install/command.ts";
import type { Terminal } from "./terminal.ts";

/** The word that the image puts before its arguments (Dockerfile). */
export const ENTRYPOINT = "entrypoint";

const HELP = `Installs the plugin of this image on a node, and stays until SIGTERM.

  --cni-bin-dir=DIR         the node's plugin directory (${DIRECTORY})
  --no-sleep                end when it is installed
  --rdma-cni-bin-file=FILE  ignored: this image installs its own program
  -h, --help                print this help

All commands of the program work as well: "install --check", "doctor", "help".
`;

/**
 * Runs the image's arguments.
 *
 * @param run runs a command line of this program
 * @returns the exit code: that of the command, or 1 for an unknown argument
 */
export async function runEntrypoint(
  args: readonly string[],
  terminal: Terminal,
  run: (args: readonly string[]) => Promise<ExitCode>,
): Promise<ExitCode> {
  if (isCommand(args)) return await run(args);
  const command = new Command().helpOption(false).exitOverride().configureOutput({ outputError: () => {} })
    .option("--cni-bin-dir <DIR>").option("--no-sleep").option("--rdma-cni-bin-file <FILE>").option(
      "-h, --help",
    );
  try {
    command.parse(args, { from: "user" });
  } catch (error) {
    const { message } = toUsageError(error as CommanderError, []);
    const help = ["", ...HELP.trimEnd().split("\n")].map((error) => ({ error }));
    return terminal.print({ code: ExitCode.failed, remarks: [{ refusal: message }, ...help] });
  }
  const { cniBinDir, sleep, rdmaCniBinFile, help } = command.opts();
  if (help) return terminal.print({ text: HELP });
  if (rdmaCniBinFile !== undefined) {
    terminal.remark({ error: "--rdma-cni-bin-file is ignored: this image installs its own program" });
  }
  return await run([
    "install",
    ...cniBinDir === undefined ? [] : ["--cni-bin-dir", cniBinDir],
    ...sleep ? ["--wait"] : [],
  ]);
}

function isCommand([first]: readonly string[]): boolean {
  return first !== undefined && (!first.startsWith("-") || ["-V", "--version"].includes(first));
}
