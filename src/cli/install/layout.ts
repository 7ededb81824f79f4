/**
 * The files of an installation in a plugin directory, DIR:
 *
 *     DIR/rdma                            the launcher, which runtimes run; it starts the current program
 *     DIR/.rdma-cni/current               a relative symbolic link to the installed version
 *     DIR/.rdma-cni/rdma-cni-VERSION-HASH the program
 *     DIR/.rdma-cni/libmnl.so.0           for nodes without libmnl
 *
 * An upgrade adds a program and then replaces the link, so that no call finds a file that is being replaced.
 */
import type { Kernel } from "../../kernel/kernel.ts";
import { explainUnsafeDirectory, ifPresent } from "../../sys/files.ts";
import { CommandError } from "../errors.ts";

/** The files to install, on the machine that this program runs on. */
export interface Sources {
  readonly executable: string;
  readonly libmnl: string;
  readonly launcher: Uint8Array<ArrayBuffer>;
}

/** The path of the plugin, named by its CNI type. */
export function pluginIn(directory: string): string {
  return `${directory}/rdma`;
}

/** The directory in which the launcher looks for the program, and the program for libmnl. */
export function ownDirectoryIn(directory: string): string {
  return `${directory}/.rdma-cni`;
}

/** The link to the installed version. */
export function currentIn(directory: string): string {
  return `${ownDirectoryIn(directory)}/current`;
}

/** Hexadecimal digits of the SHA-256 in a program's name: enough to distinguish builds of a version. */
const DIGITS = 12;

/** The name of an installed program. */
export function programName(version: string, sha256: string): string {
  return `rdma-cni-${version}-${sha256.slice(0, DIGITS)}`;
}

/** Tells whether a name is that of an installed program of any version. */
export function isProgramName(name: string): boolean {
  return /^rdma-cni-[^/]+-[0-9a-f]{12}$/.test(name);
}

/** The directory and the name of an installed program; undefined for any other. */
export function splitInstalled(executable: string): { directory: string; name: string } | undefined {
  const [, directory, name] = /^(.*)\/\.rdma-cni\/([^/]+)$/.exec(executable) ?? [];
  return directory !== undefined && isProgramName(name!) ? { directory, name: name! } : undefined;
}

/** The command that starts a program: that of an installed one is its launcher. */
export function findCommand(executable: string): string {
  const installed = splitInstalled(executable);
  return installed ? pluginIn(installed.directory) : executable;
}

/**
 * Makes sure that the plugin directory is one. It is not created, since a wrong one is useless.
 *
 * @throws {CommandError}
 */
export function assertPluginDirectory(directory: string): void {
  const found = ifPresent(() => Deno.statSync(directory));
  if (found?.isDirectory) return;
  throw new CommandError(
    `Cannot use the plugin directory ${JSON.stringify(directory)}: ${
      found ? "it is not a directory" : "it does not exist"
    }`,
    "The configuration of the runtime names its directory (containerd: bin_dir, CRI-O: plugin_dirs): mostly " +
      "/opt/cni/bin, but another one on K3s, MicroK8s, OpenShift, GKE and openSUSE. Name it with --cni-bin-dir, " +
      "as this program sees it.",
  );
}

/**
 * Makes sure that only root can write to the plugin's own directory, from which it loads a library.
 *
 * @returns whether the directory exists
 * @throws {CommandError} with what is wrong with it
 */
export function assertOwnDirectory(directory: string): boolean {
  const path = ownDirectoryIn(directory);
  const found = ifPresent(() => Deno.lstatSync(path));
  if (!found) return false;
  const fault = explainUnsafeDirectory(found);
  if (fault === undefined) return true;
  throw new CommandError(
    `Cannot use ${JSON.stringify(path)}: ${fault}, want a directory of root that nobody else can write to`,
    "Find out who created it, and remove it.",
  );
}

/** The part of the kernel that installing needs. */
export type Locks = Pick<Kernel, "lock" | "sleep">;

/** An installation takes a second, or ten with little memory. */
const LOCK_TIMEOUT_MS = 60_000;

/**
 * Takes the lock on a plugin directory: two installations, of whatever versions, would remove each other's
 * program.
 *
 * @throws {CommandError} when another process holds it for a minute
 */
export function lockDirectory(kernel: Locks, directory: string, timeoutMs = LOCK_TIMEOUT_MS): Disposable {
  const lock = kernel.lock(directory, timeoutMs);
  if (lock) return lock;
  throw new CommandError(
    `Cannot lock ${JSON.stringify(directory)}: another process has held it for ${timeoutMs / 1000} s`,
    `"fuser -v ${directory}" names the process. It may be another installation.`,
  );
}
