import { type Command, Option } from "@commander-js/extra-typings";
import { exists } from "../../kernel/sysfs.ts";
import { findLibmnlFile } from "../../netlink/libmnl.ts";
import { State, STATE_DIRECTORY } from "../../plugin/record/state.ts";
import { awaitTermination, blockTermination } from "../../sys/signals.ts";
import { findConfiguredDirectory } from "../doctor/runtime.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { addExamples, addNotes } from "../help.ts";
import { readAbsolutePath, removedOption } from "../option_values.ts";
import { JSON_OPTION, outputOption, QUIET } from "../output.ts";
import type { Context } from "../terminal.ts";
import { checkInstalled, install } from "./install.ts";
import type { Sources } from "./layout.ts";
import { uninstall } from "./uninstall.ts";
import { waitForTermination } from "./wait.ts";

/** The node's directory, where a container that installs mounts it. */
export const DIRECTORY = "/host/opt/cni/bin";

/** The directory to install in if none is named. */
export function findDirectory(root = ""): string {
  return exists(`${root}${DIRECTORY}`) ? DIRECTORY : findConfiguredDirectory(root);
}

const NOTES = `
DIR/rdma becomes a launcher of 5 KB, which starts the program that DIR/.rdma-cni/current leads to. libmnl,
which not every node has, is beside it. Each file is replaced atomically, and only if it differs. Calls in
progress keep the version that they began with; it is removed when nobody runs it any more. Whatever is in the
place of DIR/rdma is replaced; a symbolic link is not followed.

Exit codes:
  0  done; with --check: all is installed
  1  failed, and what was there before works; with --check: something is missing or different
  2  wrong command line; nothing was done`;

/** Adds `install`. */
export function addInstallCommand(program: Command, { kernel, terminal, exit }: Context): void {
  const command = program.command("install")
    .description("install this program as the CNI plugin, check that it is, or remove it")
    .option(
      "--cni-bin-dir <DIR>",
      `the plugin directory of the runtime (default: ${DIRECTORY} if that is there, as in a container, else what the ` +
        "runtime's configuration says, else /opt/cni/bin)",
      readAbsolutePath,
    )
    .option("--check", "change nothing: print in one line whether all is installed, exit code 0 or 1")
    .addOption(
      new Option("--uninstall", "remove the plugin and what belongs to it").conflicts(["check", "wait"]),
    )
    .option("--force", "remove it also when pods need it for their DEL")
    .option("--wait", "when done stay until SIGTERM or SIGINT")
    .option("--remove-on-exit", "with --wait: uninstall then")
    .addOption(removedOption("--gc-interval <MINUTES>", "agent --gc-interval 15m"))
    .option("--dry-run", "only print what would be done, and do not wait")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .addOption(QUIET)
    .action(({ cniBinDir: directory = findDirectory(), ...options }, own) => {
      const { wait = false, removeOnExit = false, force = false } = options;
      if (removeOnExit && !wait) own.error("error: --remove-on-exit goes with --wait");
      if (force && !options.uninstall && !removeOnExit) own.error("error: --force goes with --uninstall");
      const remove = () =>
        terminal.print(uninstall(terminal, kernel, directory, new State(STATE_DIRECTORY), options));
      if (options.uninstall) return void remove();

      if (wait) blockTermination();
      const sources = ownSources();
      const result = options.check
        ? checkInstalled(directory, sources)
        : install(terminal, kernel, directory, sources, options);
      const code = terminal.print(result);
      if (code !== ExitCode.ok) return exit(code);
      if (!wait || options.dryRun) return;
      if (!removeOnExit) return waitForTermination();
      awaitTermination();
      remove();
    });
  addNotes(command, NOTES);
  addExamples(command, [
    ["install", "on the node itself"],
    ["install --cni-bin-dir /var/lib/rancher/k3s/data/cni", "on a node whose runtime has another directory"],
    ["install --wait", "in a container that has the node's directory at /host/opt/cni/bin"],
    ["install --check", "whether all is installed"],
    ["install --uninstall --dry-run", "what would be removed"],
  ]);
}

/** @throws {CommandError} when this is no executable of its own */
export function ownSources(): Sources {
  if (Deno.build.standalone) {
    const launcher = Deno.readFileSync(new URL("launcher", Deno.mainModule));
    return { executable: Deno.execPath(), libmnl: findLibmnlFile(), launcher };
  }
  throw new CommandError(
    `Cannot install ${JSON.stringify(Deno.execPath())}: it is Deno, which runs this program from its sources`,
    'Compile it first ("deno task build") and run the executable.',
  );
}
