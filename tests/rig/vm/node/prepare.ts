import { fileURLToPath } from "node:url";
import { type Kernel, unpackKernel } from "./kernel.ts";
import { installPackages, run } from "./packages.ts";

/** Everything that a boot of the simulated node needs, prepared. */
export interface Node {
  /** Directory of all that was prepared; git ignores it. */
  directory: string;
  kernel: Kernel;
  /** Runs a chain of plugins through libcni: see libcni/main.go. */
  libcniRunner: string;
  /** Holds a context of an RDMA device: see sim/hold_context.c. */
  holdContext: string;
}

/**
 * Our kernel modules: RDMA devices for network functions, one with an InfiniBand port, what hosts do with VFs, and what
 * makes the kernel slow to move devices.
 */
const MODULES = ["rdma_sim", "ib_sim", "vf_sim", "slow_client"];

const SOURCES = fileURLToPath(new URL(".", import.meta.url));
const DIRECTORY = fileURLToPath(new URL("../../../../dist/node", import.meta.url));

/**
 * Prepares the simulated node: Debian packages, a kernel, our kernel modules and two small programs. What is
 * there and not older than its sources is kept, so that a second call takes well under a second.
 *
 * @param progress takes one line for each step that takes time
 * @throws {Error} if a step fails; it names the packages to install if that cannot be done here
 */
export async function prepareNode(progress: (line: string) => void): Promise<Node> {
  await installPackages(progress);
  await Deno.mkdir(DIRECTORY, { recursive: true });
  const kernel = await unpackKernel(`${DIRECTORY}/kernel`, progress);
  const node: Node = {
    directory: DIRECTORY,
    kernel,
    libcniRunner: `${DIRECTORY}/libcni-run`,
    holdContext: `${DIRECTORY}/hold_context`,
  };
  const areOlder = MODULES.map((name) => {
    return isOlder(`${kernel.extraModules}/${name}.ko`, `${SOURCES}sim/${name}.c`);
  });
  if ((await Promise.all(areOlder)).includes(true)) {
    progress("kernel modules: building ...");
    await buildModules(kernel);
  }
  const holdContext = `${SOURCES}sim/hold_context.c`;
  if (await isOlder(node.holdContext, holdContext)) {
    await run("gcc-14", ["-O2", "-Wall", "-Werror", "-o", node.holdContext, holdContext]);
  }
  const libcni = `${SOURCES}libcni/main.go`;
  if (await isOlder(node.libcniRunner, libcni)) {
    progress("libcni driver: building ...");
    await buildLibcniRunner(libcni, node.libcniRunner);
  }
  return node;
}

async function isOlder(target: string, source: string): Promise<boolean> {
  const sourceTime = (await Deno.stat(source)).mtime!;
  try {
    return (await Deno.stat(target)).mtime! < sourceTime;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
}

/**
 * Builds in a directory of its own, because make leaves its files beside the sources, and with that and the headers
 * mounted in /mnt, because the kernel's Makefile refuses paths with a space.
 */
async function buildModules(kernel: Kernel): Promise<void> {
  const build = await Deno.makeTempDir();
  try {
    for (const name of ["Kbuild", ...MODULES.map((name) => `${name}.c`)]) {
      await Deno.copyFile(`${SOURCES}sim/${name}`, `${build}/${name}`);
    }
    await Deno.mkdir(`${build}/kernel`);
    const mount = 'mount --bind "$0" kernel && mount --rbind . /mnt && cd /mnt';
    const make = `${mount} && make -C "kernel/$1" -f "/mnt/kernel/$2" M=/mnt modules`;
    await run(
      "unshare",
      ["--mount", "sh", "-c", make, kernel.directory, kernel.headers, kernel.makefile],
      build,
    );
    for (const name of MODULES) {
      await Deno.copyFile(`${build}/${name}.ko`, `${kernel.extraModules}/${name}.ko`);
    }
  } finally {
    await Deno.remove(build, { recursive: true });
  }
  await run("depmod", ["--basedir", kernel.moduleRoot, kernel.release]);
}

/** Takes the libraries from Debian's packages: no module proxy is asked. */
async function buildLibcniRunner(source: string, target: string): Promise<void> {
  const cache = await Deno.makeTempDir({ dir: DIRECTORY }); // /tmp may be too small
  const settings = ["GO111MODULE=off", "GOPATH=/usr/share/gocode", "CGO_ENABLED=0"];
  const environment = [...settings, `GOCACHE=${cache}`, `GOTMPDIR=${cache}`];
  try {
    await run("env", [...environment, "go", "build", "-trimpath", "-o", target, source]);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}
