import { type Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { findLibmnlFile } from "../../netlink/libmnl.ts";
import { State, STATE_DIRECTORY } from "../../plugin/state.ts";
import { awaitTermination, blockTermination } from "../../sys/signals.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { addExamples } from "../help.ts";
import type { Context } from "../terminal.ts";
import { checkInstalled, install } from "./install.ts";
import type { Sources } from "./layout.ts";
import { uninstall } from "./uninstall.ts";
import { waitForTermination } from "./wait.ts";

/** The node's directory, where a container that installs mounts it. */
const DIRECTORY = "/host/opt/cni/bin";

const NOTES = `
DIR/rdma becomes a launcher of 3 KB, which starts the program that DIR/.rdma-cni/current leads to, with libmnl, which not
every node has, beside it. Each file is replaced at once, and only if it differs. Calls in progress keep the version they
began with, which is removed when nobody runs it any more. What is in the place of DIR/rdma is replaced, a symbolic link
too, which is not followed.

Exit codes:
  0  done; with --check all is as it should be
  1  it could not be done, and what was there before works; with --check something is not as it should be
  2  the command line cannot be understood; nothing was done`;

/** Adds `install`. */
export function addInstallCommand(program: Command, { kernel, terminal, exit }: Context): void {
  const command = program.command("install")
    .description("install this program as the CNI plugin, check that it is, or remove it")
    .option("--cni-bin-dir <DIR>", "the runtime's directory of plugins", parseDirectory, DIRECTORY)
    .option("--check", "change nothing: tell by exit code 0 or 1 and one line whether all is installed")
    .addOption(
      new Option("--uninstall", "remove the plugin and what belongs to it").conflicts(["check", "wait"]),
    )
    .option("--force", "remove it also when pods need it for their DEL")
    .option("--wait", "when done stay until SIGTERM or SIGINT")
    .option("--remove-on-exit", "with --wait: uninstall then")
    .option("--dry-run", "only say what would be done, and do not wait")
    .option("--json", "print what was done for machines")
    .action(({ cniBinDir: directory, ...options }, own) => {
      const { wait = false, removeOnExit = false, force = false } = options;
      if (removeOnExit && !wait) own.error("error: --remove-on-exit goes with --wait");
      if (force && !options.uninstall && !removeOnExit) own.error("error: --force goes with --uninstall");
      const remove = () => uninstall(terminal, kernel, directory, new State(STATE_DIRECTORY), options);
      if (options.uninstall) return remove();

      if (wait) blockTermination();
      const sources = ownSources();
      if (!options.check) install(terminal, kernel, directory, sources, options);
      else if (checkInstalled(terminal, directory, sources, options) !== ExitCode.ok) {
        return exit(ExitCode.failed);
      }
      if (!wait || options.dryRun) return;
      if (!removeOnExit) return waitForTermination();
      awaitTermination();
      remove();
    });
  command.addHelpText("after", NOTES);
  addExamples(command, [
    ["install --cni-bin-dir /opt/cni/bin", "on the node itself"],
    ["install --wait", "in a container that has the node's directory at /host/opt/cni/bin"],
    ["install --check", "whether all is as it should be"],
    ["install --uninstall --dry-run", "what would be removed"],
  ]);
}

/** @throws {CommandError} when this is no executable of its own */
function ownSources(): Sources {
  if (Deno.build.standalone) return { executable: Deno.execPath(), libmnl: findLibmnlFile() };
  throw new CommandError(
    `Cannot install ${
      JSON.stringify(Deno.execPath())
    }: it is Deno itself, which runs this program from its sources`,
    'Compile it first ("deno task build") and run the executable.',
  );
}

/** Another spelling of a directory could lead elsewhere in a container than on the node. */
function parseDirectory(path: string): string {
  if (/^\/[^\0]*$/.test(path)) return path.replace(/\/+$/, "") || "/";
  throw new InvalidArgumentError("Want an absolute path.");
}
