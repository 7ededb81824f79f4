import { fileURLToPath } from "node:url";
import { PROJECT } from "../../../../deployment/build/child.ts";
import { compileLauncher } from "../../../../deployment/build/launcher.ts";
import type { Architecture } from "./architecture.ts";
import { buildInitramfs, INITRAMFS_SCRIPT } from "./initramfs.ts";
import { type Kernel, unpackKernel } from "./kernel.ts";
import { installPackages, PACKAGES_FOR_TESTS, packagesForNode, run } from "./packages.ts";
import { makeRoot } from "./root.ts";
import { DEFAULT_SERIES, type Series, sourceOf } from "./series.ts";

/** Everything that a boot of the simulated node needs, prepared. */
export interface Node {
  /** Directory of all that was prepared for this kernel; git ignores it. */
  directory: string;
  architecture: Architecture;
  kernel: Kernel;
  /** The root file system, shared read-only: this machine's, if its programs run on the node. */
  root: string;
  /** What the kernel starts with: see initramfs.sh. */
  initramfs: string;
}

/**
 * Our kernel modules: RDMA devices for network functions, one with an InfiniBand port, what hosts do with VFs, and what
 * makes the kernel slow to move devices.
 */
const MODULES = ["rdma_sim", "ib_sim", "vf_sim", "slow_client"];
const MODULE_SOURCES = ["Kbuild", "compat.h", ...MODULES.map((name) => `${name}.c`)];

const SOURCES = fileURLToPath(new URL(".", import.meta.url));
const DIRECTORY = fileURLToPath(new URL("../../../../dist/node", import.meta.url));

/**
 * Prepares the simulated node: Debian packages, a kernel and our kernel modules. What is there and not older than its
 * sources is kept, so that a second call takes well under a second.
 *
 * @param progress takes one line for each step that takes time
 * @param series of the kernel; that of Debian 13 unless told
 * @throws {KernelUnavailable} if the mirror of this machine does not have that kernel
 * @throws {Error} if a step fails; it names the packages to install if that cannot be done here
 */
export async function prepareNode(
  progress: (line: string) => void,
  series: Series = DEFAULT_SERIES,
): Promise<Node> {
  const { architecture } = sourceOf(series);
  await installPackages(packagesForNode(architecture.target), progress);
  const directory = `${DIRECTORY}/${series}`;
  const shared = `${DIRECTORY}/${architecture.target}`;
  for (const one of [directory, shared]) await Deno.mkdir(one, { recursive: true });
  const kernel = await unpackKernel(`${directory}/kernel`, series, progress);
  const root = architecture.target === Deno.build.arch ? "/" : `${shared}/root`;
  if (root !== "/" && await isOlder(root, `${SOURCES}root.ts`)) await makeRoot(root, architecture, progress);
  const node: Node = { directory, architecture, kernel, root, initramfs: `${directory}/initramfs` };
  if (await isOlder(node.initramfs, INITRAMFS_SCRIPT)) await buildInitramfs(kernel, root, node.initramfs);
  const sources = MODULE_SOURCES.map((name) => `${SOURCES}sim/${name}`);
  if (await isOlder(`${kernel.extraModules}/${MODULES.at(-1)}.ko`, ...sources)) {
    progress("kernel modules: building ...");
    await buildModules(kernel, architecture);
  }
  return node;
}

/**
 * Prepares the simulated node for tests: besides what {@linkcode prepareNode} does, the Debian packages of all tests, and
 * the programs of the guest.
 *
 * @throws {KernelUnavailable} and {Error} as `prepareNode`
 */
export async function prepareTestNode(
  progress: (line: string) => void,
  series: Series = DEFAULT_SERIES,
): Promise<Node> {
  await installPackages(PACKAGES_FOR_TESTS, progress);
  const node = await prepareNode(progress, series);
  await buildPrograms(`${DIRECTORY}/${node.architecture.target}`, node.architecture, progress);
  return node;
}

/** The programs of the guest that do not depend on the kernel: see guest/programs.ts. */
async function buildPrograms(
  directory: string,
  { name, target }: Architecture,
  progress: (line: string) => void,
): Promise<void> {
  const holdContext = `${directory}/hold_context`;
  const holdContextSource = `${SOURCES}sim/hold_context.c`;
  if (await isOlder(holdContext, holdContextSource)) {
    const flags = ["-O2", "-Wall", "-Werror"];
    await run(`${target}-linux-gnu-gcc-14`, [...flags, "-o", holdContext, holdContextSource]);
  }
  const launcher = `${directory}/launcher`;
  if (await isOlder(launcher, `${PROJECT}src/launcher/launcher.c`)) await compileLauncher(target, launcher);
  const libcniRunner = `${directory}/libcni-run`;
  const libcniSource = `${SOURCES}libcni/main.go`;
  if (await isOlder(libcniRunner, libcniSource)) {
    progress("libcni driver: building ...");
    await buildLibcniRunner(libcniSource, libcniRunner, name);
  }
}

/** Whether a file is missing or older than one of those it is made of. */
async function isOlder(target: string, ...sources: string[]): Promise<boolean> {
  const times = await Promise.all(sources.map(async (source) => (await Deno.stat(source)).mtime!));
  try {
    const { mtime } = await Deno.stat(target);
    return times.some((time) => mtime! < time);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
}

/**
 * Builds in a directory of its own, because make leaves its files beside the sources, and with that and the headers
 * mounted in /mnt, because the kernel's Makefile refuses paths with a space.
 */
async function buildModules(kernel: Kernel, { target, makefileName }: Architecture): Promise<void> {
  const build = await Deno.makeTempDir();
  try {
    for (const name of MODULE_SOURCES) {
      await Deno.copyFile(`${SOURCES}sim/${name}`, `${build}/${name}`);
    }
    await Deno.mkdir(`${build}/kernel`);
    const mount = 'mount --bind "$0" kernel && mount --rbind . /mnt && cd /mnt';
    // Debian's Makefile names the place where the headers would be installed.
    const compiler = `ARCH=${makefileName} CROSS_COMPILE=${target}-linux-gnu- CC=${target}-linux-gnu-gcc-14`;
    const variables = `KBUILD_OUTPUT="/mnt/kernel/$1" ${compiler} M=/mnt`;
    const make = `${mount} && make -C "kernel/$1" -f "/mnt/kernel/$2" ${variables} modules`;
    await run(
      "unshare",
      ["--mount", "sh", "-c", make, kernel.directory, kernel.headers, kernel.makefile],
      build,
    );
    for (const name of MODULES) { // in this order: the last one says that all are there
      await Deno.copyFile(`${build}/${name}.ko`, `${kernel.extraModules}/${name}.ko`);
    }
  } finally {
    await Deno.remove(build, { recursive: true });
  }
  await run("depmod", ["--basedir", kernel.moduleRoot, kernel.release]);
}

/** Takes the libraries from Debian's packages: no module proxy is asked. */
async function buildLibcniRunner(source: string, target: string, architecture: string): Promise<void> {
  const cache = await Deno.makeTempDir({ dir: DIRECTORY }); // /tmp may be too small
  const settings = [`GOARCH=${architecture}`, "GO111MODULE=off", "GOPATH=/usr/share/gocode", "CGO_ENABLED=0"];
  const environment = [...settings, `GOCACHE=${cache}`, `GOTMPDIR=${cache}`];
  try {
    await run("env", [...environment, "go", "build", "-trimpath", "-o", target, source]);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}
