/** The image's entry point, which takes the arguments of the Go plugin's image: operators and manifests pass them. */
import { parseArgs } from "node:util";
import { ExitCode } from "./errors.ts";
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

const OPTIONS = {
  "cni-bin-dir": { type: "string" },
  "no-sleep": { type: "boolean" },
  "rdma-cni-bin-file": { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

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
  const options = parse(args);
  if (typeof options === "string") {
    for (const line of [options, "", ...HELP.trimEnd().split("\n")]) terminal.err(`${line}\n`);
    return ExitCode.failed;
  }
  if (options.help) {
    terminal.raw(HELP);
    return ExitCode.ok;
  }
  if (options["rdma-cni-bin-file"] !== undefined) {
    terminal.err("--rdma-cni-bin-file is ignored: this image installs its own program\n");
  }
  const directory = options["cni-bin-dir"];
  return await run([
    "install",
    ...directory === undefined ? [] : ["--cni-bin-dir", directory],
    ...options["no-sleep"] ? [] : ["--wait"],
  ]);
}

function isCommand([first]: readonly string[]): boolean {
  return first !== undefined && (!first.startsWith("-") || ["-V", "--version"].includes(first));
}

/** The options, or what is wrong with them. */
function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    return (error as Error).message;
  }
}
