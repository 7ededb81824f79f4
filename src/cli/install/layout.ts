import { CniError, ErrorCode } from "../../cni/error.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { takeLock } from "../../plugin/node.ts";
import { ifPresent } from "../../sys/files.ts";
import { CommandError } from "../errors.ts";

/**
 * Where things are in the directory of plugins, DIR:
 *
 *     DIR/rdma                            the launcher, which runtimes start; it starts the program behind the link
 *     DIR/.rdma-cni/current               a relative symbolic link to the installed version
 *     DIR/.rdma-cni/rdma-cni-VERSION-HASH the program
 *     DIR/.rdma-cni/libmnl.so.0           what the program's node may lack
 *
 * An upgrade adds a program and exchanges the link, so that no call meets a file that is being replaced.
 */

/** What this program is made of on the machine it runs on. */
export interface Sources {
  readonly executable: string;
  readonly libmnl: string;
}

/** Where the plugin is, named by its CNI type. */
export function pluginIn(directory: string): string {
  return `${directory}/rdma`;
}

/** Where the launcher looks for the program, and the program for what its node lacks. */
export function ownDirectoryIn(directory: string): string {
  return `${directory}/.rdma-cni`;
}

/** The link to the installed version. */
export function currentIn(directory: string): string {
  return `${ownDirectoryIn(directory)}/current`;
}

/** Hexadecimal digits of a program's SHA-256 in its name: enough to tell builds of one version apart. */
const DIGITS = 12;

/** The name of an installed program. */
export function programName(version: string, sha256: string): string {
  return `rdma-cni-${version}-${sha256.slice(0, DIGITS)}`;
}

/** Whether a name is that of an installed program, of whatever version. */
export function isProgramName(name: string): boolean {
  return /^rdma-cni-[^/]+-[0-9a-f]{12}$/.test(name);
}

/** What people type to start a program: an installed one is started by its launcher. */
export function commandOf(executable: string): string {
  const [, directory, name] = /^(.*)\/\.rdma-cni\/([^/]+)$/.exec(executable) ?? [];
  return directory !== undefined && isProgramName(name!) ? pluginIn(directory) : executable;
}

/** Makes sure that the directory of plugins is one. It is never made: a wrong one would help nobody. @throws {CommandError} */
export function assertPluginDirectory(directory: string): void {
  const found = ifPresent(() => Deno.statSync(directory));
  if (found?.isDirectory) return;
  throw new CommandError(
    `Cannot use the directory of plugins ${JSON.stringify(directory)}: ${
      found ? "it is not a directory" : "it does not exist"
    }`,
    'The runtime\'s configuration says which directory it uses (containerd: "bin_dir", CRI-O: "plugin_dirs"): mostly ' +
      "/opt/cni/bin, but another one on K3s, MicroK8s, OpenShift, GKE and openSUSE. Name it with --cni-bin-dir, as this " +
      "program sees it.",
  );
}

/**
 * Makes sure that the plugin's own directory, if it is there, is root's alone: the plugin takes a library from it.
 *
 * @returns whether it is there
 * @throws {CommandError} that says what is wrong with it
 */
export function assertOwnDirectory(directory: string): boolean {
  const path = ownDirectoryIn(directory);
  const found = ifPresent(() => Deno.lstatSync(path));
  if (!found) return false;
  const fault = found.isSymlink
    ? "it is a symbolic link"
    : !found.isDirectory
    ? "it is not a directory"
    : found.uid !== 0
    ? `it belongs to user ${found.uid}`
    : (found.mode ?? 0) & 0o022
    ? "others may write to it"
    : undefined;
  if (fault === undefined) return true;
  throw new CommandError(
    `Cannot use ${JSON.stringify(path)}: ${fault}, want a directory of root's that nobody else can write to`,
    "Find out who made it, and remove it.",
  );
}

/** What a lock needs of the kernel. */
export type Locks = Pick<Kernel, "tryLock" | "sleep">;

/** An installation takes a second, where memory is scarce ten. */
const LOCK_TIMEOUT_MS = 60_000;

/**
 * Keeps other installations, of whatever version, away from a directory of plugins: each would remove the other's program.
 *
 * @throws {CommandError} when another one has not ended after a minute
 */
export function lockDirectory(kernel: Locks, directory: string, timeoutMs = LOCK_TIMEOUT_MS): Disposable {
  try {
    return takeLock(kernel, directory, timeoutMs);
  } catch (error) {
    if (!(error instanceof CniError && error.code === ErrorCode.tryAgainLater)) throw error;
    throw new CommandError(
      `Cannot lock ${JSON.stringify(directory)}: another process has held it for ${timeoutMs / 1000} s`,
      `"fuser -v ${directory}" names the process. It may be another installation.`,
      undefined,
      { cause: error },
    );
  }
}
