import { dirname } from "node:path";
import { openSuite, type Suite, SuiteMissing } from "./apt.ts";
import { AMD64 } from "./architecture.ts";
import { run } from "./packages.ts";
import { type Series, sourceOf } from "./series.ts";

/** A Debian kernel with its modules and headers, unpacked into a directory and not installed. */
export interface Kernel {
  /** What `uname -r` says in the guest. */
  release: string;
  /** The compressed kernel that QEMU boots. */
  image: string;
  /** Directory that `modprobe -d` and `depmod -b` take. */
  moduleRoot: string;
  /** Where the module tree takes modules of our own. */
  extraModules: string;
  /** The directory with all of it. */
  directory: string;
  /** For `make -C`, below that directory. */
  headers: string;
  /** For `make -f`, below that directory. */
  makefile: string;
}

/** The mirror answers that it does not have the kernel. */
export class KernelUnavailable extends Error {}

/**
 * Makes a Debian kernel available in a directory: the newest of a series. A kernel that is already there is kept,
 * however old.
 *
 * @throws {KernelUnavailable} if the mirror of this machine does not have it
 * @throws {Error} if the mirror cannot be reached, or the packages not be downloaded or unpacked
 */
export async function unpackKernel(
  directory: string,
  series: Series,
  progress: (line: string) => void,
): Promise<Kernel> {
  const releaseFile = `${directory}/release`;
  try {
    return layout(directory, await Deno.readTextFile(releaseFile));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const temporaryIn = dirname(directory); // /tmp may be too small
  progress(`kernel: asking for the newest Linux ${series} ...`);
  const { suite: name, architecture } = sourceOf(series);
  // Its modules are built by tools that run here.
  const architectures = [...new Set([AMD64.name, architecture.name])];
  await using suite = await openSuite(name, architectures, temporaryIn, progress).catch((cause) => {
    throw cause instanceof SuiteMissing ? unavailable(series, cause.message, cause) : cause;
  });
  const release = await newestRelease(suite, series);
  const downloads = await Deno.makeTempDir({ dir: temporaryIn });
  try {
    progress(`kernel: downloading ${release} ...`);
    await suite.download(await packagesOf(suite, release), downloads);
    progress("kernel: unpacking ...");
    for await (const { name } of Deno.readDir(downloads)) {
      await run("dpkg", ["--extract", `${downloads}/${name}`, directory]);
    }
  } finally {
    await Deno.remove(downloads, { recursive: true });
  }
  // Up to Debian 12 packages have modules in /lib.
  const oldModules = `${directory}/lib/modules`;
  if (await exists(oldModules)) await Deno.rename(oldModules, `${directory}/usr/lib/modules`);
  const kernel = layout(directory, release);
  // Modules would get BTF of this one, made by a tool that nothing else here needs.
  const vmlinux = `${directory}/${kernel.headers}/vmlinux`;
  if (await exists(vmlinux)) await Deno.remove(vmlinux);
  // From Linux 6.19 on the package of the image has it among the modules.
  const newImage = `${kernel.moduleRoot}/lib/modules/${release}/vmlinuz`;
  if (await exists(newImage)) {
    await Deno.mkdir(dirname(kernel.image), { recursive: true });
    await Deno.rename(newImage, kernel.image);
  }
  await Deno.mkdir(kernel.extraModules, { recursive: true });
  await run("depmod", ["--basedir", kernel.moduleRoot, release]);
  await Deno.writeTextFile(releaseFile, release);
  return kernel;
}

function unavailable(series: Series, reason: string, cause?: unknown): KernelUnavailable {
  return new KernelUnavailable(`Linux ${series} is not to be had: ${reason}`, { cause });
}

/** As in `6.1.0-56-amd64` or `7.3.4+deb13-amd64`; others are for clouds or real time. */
async function newestRelease(suite: Suite, series: Series): Promise<string> {
  const { version, suite: suiteName, architecture } = sourceOf(series);
  const prefix = `linux-image-${version}.`;
  const plain = new RegExp(`^linux-image-([\\d.]+(-\\d+|\\+deb\\d+)-${architecture.name})$`);
  const releases = (await suite.packageNames(prefix)).flatMap((name) => plain.exec(name)?.[1] ?? []);
  const newest = releases.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  if (newest === undefined) {
    throw unavailable(series, `${suiteName} has no package ${prefix}*-${architecture.name}`);
  }
  return newest;
}

/** From Linux 6.19 on linux-image has nothing but dependencies. */
async function packagesOf(suite: Suite, release: string): Promise<string[]> {
  const names = [`linux-image-${release}`, `linux-headers-${release}`];
  const dependencies = await Promise.all(names.map((name) => suite.dependencies(name)));
  const needed = dependencies.flat().filter((name) =>
    /^linux-(base|binary|modules|headers|kbuild)-/.test(name)
  );
  return [...new Set([...names, ...needed])];
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

function layout(directory: string, release: string): Kernel {
  const version = release.slice(0, release.lastIndexOf("-")); // without the flavour, as in "-amd64"
  return {
    release,
    image: `${directory}/boot/vmlinuz-${release}`,
    moduleRoot: `${directory}/usr`,
    extraModules: `${directory}/usr/lib/modules/${release}/updates`,
    directory,
    headers: `usr/src/linux-headers-${release}`,
    makefile: `usr/src/linux-headers-${version}-common/Makefile`,
  };
}
