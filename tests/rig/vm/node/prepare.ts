import { fileURLToPath } from "node:url";
import { PROJECT } from "../../../../deployment/build/child.ts";
import { compileLauncher } from "../../../../deployment/build/launcher.ts";
import { type Kernel, unpackKernel } from "./kernel.ts";
import { installPackages, PACKAGES_FOR_TESTS, packagesForNode, run } from "./packages.ts";
import { makeRoot } from "./root.ts";
import { type Architecture, DEFAULT_SERIES, type Series, sourceOf } from "./series.ts";

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

const SOURCES = fileURLToPath(new URL(".", import.meta.url));
const INITRAMFS_SCRIPT = `${SOURCES}initramfs.sh`;
const MODULE = `${SOURCES}rdma_sim.c`;
const DIRECTORY = fileURLToPath(new URL("../../../../dist/node", import.meta.url));

/**
 * Prepares the simulated node: Debian packages, a kernel and our kernel module. What is there and not older than its
 * sources is kept, so that a second call takes well under a second.
 *
 * @throws {KernelUnavailable} if the mirror of this machine does not have that kernel
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
  using file = await Deno.open(`${directory}/lock`, { create: true, write: true });
  await file.lock(true); // the demo's test may come while the run of all tests prepares the same kernel
  const kernel = await unpackKernel(`${directory}/kernel`, series, progress);
  const root = architecture.target === Deno.build.arch ? "/" : `${shared}/root`;
  if (root !== "/" && await isOlder(root, `${SOURCES}root.ts`)) await makeRoot(root, architecture, progress);
  const initramfs = `${directory}/initramfs`;
  if (await isOlder(initramfs, INITRAMFS_SCRIPT)) await buildInitramfs(kernel, root, initramfs);
  const module = `${kernel.extraModules}/rdma_sim.ko`;
  if (await isOlder(module, MODULE)) {
    progress("kernel module: building ...");
    await buildModule(kernel, architecture, module);
  }
  return { directory, architecture, kernel, root, initramfs };
}

/** Prepares the node, the Debian packages of all tests, and the programs of the guest, see guest/programs.ts. */
export async function prepareTestNode(
  progress: (line: string) => void,
  series: Series = DEFAULT_SERIES,
): Promise<Node> {
  await installPackages(PACKAGES_FOR_TESTS, progress);
  const node = await prepareNode(progress, series);
  const { name, target } = node.architecture;
  const launcher = `${DIRECTORY}/${target}/launcher`;
  if (await isOlder(launcher, `${PROJECT}src/launcher/launcher.c`)) await compileLauncher(target, launcher);
  const libcniRunner = `${DIRECTORY}/${target}/libcni-run`;
  const libcniSource = `${SOURCES}libcni.go`;
  if (await isOlder(libcniRunner, libcniSource)) {
    progress("libcni driver: building ...");
    await buildLibcniRunner(libcniSource, libcniRunner, name);
  }
  return node;
}

async function isOlder(target: string, source: string): Promise<boolean> {
  const { mtime } = await Deno.stat(source);
  return await Deno.stat(target).then((found) => found.mtime! < mtime!, () => true);
}

/** Builds the file system that a kernel starts with: the drivers of the real one, in the order in which they are loaded. */
async function buildInitramfs({ moduleRoot, release }: Kernel, root: string, target: string): Promise<void> {
  const where = ["--dirname", moduleRoot, "--set-version", release];
  const steps = await run("modprobe", [...where, "--show-depends", "--all", "virtio_pci", "virtiofs"]);
  // The path may have spaces; options of the module may follow it.
  const modules = new Set([...steps.matchAll(/^insmod (.+\.ko(\.\w+)?)(?= |$)/gm)].map(([, path]) => path!));
  const tree = await Deno.makeTempDir();
  try {
    for (const directory of ["bin", "modules", "root"]) await Deno.mkdir(`${tree}/${directory}`);
    await Deno.copyFile(`${root}/bin/busybox`, `${tree}/bin/busybox`);
    await Deno.copyFile(INITRAMFS_SCRIPT, `${tree}/init`);
    await Deno.chmod(`${tree}/init`, 0o755);
    for (const [index, module] of [...modules].entries()) {
      await Deno.copyFile(module, `${tree}/modules/${String(index).padStart(2, "0")}.ko`);
    }
    await run("sh", ["-c", 'find . | busybox cpio -o -H newc >"$0"', target], tree);
  } finally {
    await Deno.remove(tree, { recursive: true });
  }
}

/** Builds in /mnt: make leaves files beside the sources, and the kernel's Makefile refuses paths with a space. */
async function buildModule(
  kernel: Kernel,
  { target, makefileName }: Architecture,
  to: string,
): Promise<void> {
  const build = await Deno.makeTempDir();
  try {
    await Deno.copyFile(MODULE, `${build}/rdma_sim.c`);
    await Deno.writeTextFile(`${build}/Kbuild`, "obj-m := rdma_sim.o\n");
    await Deno.mkdir(`${build}/kernel`);
    const mount = 'mount --bind "$0" kernel && mount --rbind . /mnt && cd /mnt';
    // Debian's Makefile names the place where the headers would be installed.
    const compiler = `ARCH=${makefileName} CROSS_COMPILE=${target}-linux-gnu- CC=${target}-linux-gnu-gcc-14`;
    const variables = `KBUILD_OUTPUT="/mnt/kernel/$1" ${compiler} M=/mnt`;
    const make = `${mount} && make -C "kernel/$1" -f "/mnt/kernel/$2" ${variables} modules`;
    const { directory, headers, makefile } = kernel;
    await run("unshare", ["--mount", "sh", "-c", make, directory, headers, makefile], build);
    await Deno.copyFile(`${build}/rdma_sim.ko`, to);
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
