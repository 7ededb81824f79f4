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
export function pluginIn(folder: string): string {
  return `${folder}/rdma`;
}

/** Where the launcher looks for the program, and the program for what its node lacks. */
export function ownFolderIn(folder: string): string {
  return `${folder}/.rdma-cni`;
}

/** The link to the installed version. */
export function currentIn(folder: string): string {
  return `${ownFolderIn(folder)}/current`;
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
  const [, folder, name] = /^(.*)\/\.rdma-cni\/([^/]+)$/.exec(executable) ?? [];
  return folder !== undefined && isProgramName(name!) ? pluginIn(folder) : executable;
}
