/** The files that both kinds of packages have. */
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { PROJECT, runChild } from "../build/child.ts";
import { writeManPages } from "../man/man.ts";
import type { Target } from "../build/runtime_stub.ts";

/** The sources of what only packages have. */
export const SOURCES = `${PROJECT}deployment/packages`;

/** The directory of a package's documents. */
export const DOCUMENTS = "usr/share/doc/rdma-cni";

const UNITS = `${PROJECT}deployment/systemd`;

/** The places in which Debian's shells look for completions. */
const COMPLETIONS = {
  bash: "usr/share/bash-completion/completions/rdma-cni",
  fish: "usr/share/fish/vendor_completions.d/rdma-cni.fish",
  zsh: "usr/share/zsh/vendor-completions/_rdma-cni",
};

/** A package to be made of a tree of files. */
export interface Job {
  target: Target;
  /** The directory with the files. */
  tree: string;
  /** A directory for temporary files, beside the tree. */
  directory: string;
  /** The directory for the package. */
  output: string;
  version: string;
  /** Whom to write to about it: name and address. */
  maintainer: string;
  /** The time of all in the package, in seconds since 1970. */
  time: number;
  /** "best" takes most of the time of a build, "fast" makes packages half as large again. */
  compression: "best" | "fast";
}

/**
 * Writes the tree of files of a package.
 *
 * @param executable has its bill of materials and its licences beside it
 * @param runnable an executable that this machine can run, which prints the completions
 */
export async function writeTree({ tree, time }: Job, executable: string, runnable: string): Promise<void> {
  const read = (path: string) => Deno.readFileSync(path);
  write(tree, "usr/libexec/rdma-cni/rdma-cni", read(executable), 0o755);
  write(tree, "usr/libexec/rdma-cni/install-plugin", read(`${SOURCES}/install-plugin`), 0o755);
  Deno.mkdirSync(`${tree}/usr/sbin`);
  Deno.symlinkSync("../libexec/rdma-cni/rdma-cni", `${tree}/usr/sbin/rdma-cni`);
  write(tree, "etc/rdma-cni.conf", read(`${SOURCES}/rdma-cni.conf`));
  for (const name of namesIn(UNITS)) {
    write(tree, `usr/lib/systemd/system/${name}`, toPackagedUnit(Deno.readTextFileSync(`${UNITS}/${name}`)));
  }
  for (const [shell, path] of Object.entries(COMPLETIONS)) {
    write(tree, path, await runChild(runnable, ["completion", shell], { cwd: "/", env: {} }));
  }
  const pages = `${tree}.pages`;
  for (const name of await writeManPages(pages, time)) {
    write(tree, `usr/share/man/man${name.split(".").at(-1)}/${name}.gz`, zip(read(`${pages}/${name}`)));
  }
  for (const list of ["cdx.json", "licenses.txt"]) {
    write(tree, `${DOCUMENTS}/rdma-cni.${list}`, read(`${executable}.${list}`));
  }
  write(tree, `${DOCUMENTS}/CHANGELOG.md.gz`, zip(read(`${PROJECT}CHANGELOG.md`)));
}

/** Names of the units that "systemctl enable" takes. */
export function installableUnits(): string[] {
  return namesIn(UNITS).filter((name) => /^\[Install\]$/m.test(Deno.readTextFileSync(`${UNITS}/${name}`)));
}

/** Writes a file and the directories that lead to it. */
export function write(tree: string, path: string, content: string | Uint8Array, mode = 0o644): void {
  const file = `${tree}/${path}`;
  Deno.mkdirSync(dirname(file), { recursive: true });
  Deno.writeFileSync(file, typeof content === "string" ? new TextEncoder().encode(content) : content, {
    mode,
  });
}

/** Compresses a file as gzip does, without name and time. */
export function zip(content: string | Uint8Array): Uint8Array {
  return gzipSync(content, { level: 9 });
}

/**
 * The package's program does not depend on where the plugin is, or whether there is one. But the agent is the installed
 * plugin, in the directory of the settings; a variable cannot name the program of a unit.
 */
function toPackagedUnit(text: string): string {
  return text.replace("/opt/cni/bin/rdma agent ", "/usr/bin/env ${CNI_BIN_DIR}/rdma agent ")
    .replaceAll("/opt/cni/bin/rdma ", "/usr/sbin/rdma-cni ")
    .replace("RequiresMountsFor=/opt/cni/bin\n", "");
}

function namesIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}
