/** What is put into the folder of plugins, and where. */

/** A file, and where a copy of it is to be. */
export interface Copy {
  readonly source: string;
  readonly target: string;
  /** Permissions of the copy. */
  readonly mode: number;
}

/** What this program is made of on the machine it runs on. */
export interface Sources {
  readonly executable: string;
  readonly libmnl: string;
}

/** Where the plugin is, named by its CNI type. */
export function pluginIn(folder: string): string {
  return `${folder}/rdma`;
}

/** Where the plugin looks for what its node lacks. */
export function ownFolderIn(folder: string): string {
  return `${folder}/.rdma-cni`;
}

/** All copies, in the order that leaves no plugin without its library. */
export function copiesIn(folder: string, { executable, libmnl }: Sources): Copy[] {
  // Bits that let others write, or run it as somebody else, stay behind.
  const mode = (Deno.statSync(executable).mode ?? 0) & 0o755;
  return [
    { source: libmnl, target: `${ownFolderIn(folder)}/libmnl.so.0`, mode: 0o644 },
    { source: executable, target: pluginIn(folder), mode },
  ];
}
