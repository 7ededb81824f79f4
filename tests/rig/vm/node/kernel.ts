import { dirname } from "node:path";
import { run } from "./packages.ts";

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

/**
 * Makes the current Debian kernel available in a directory. A kernel that is already there is kept, however
 * old.
 *
 * @throws {Error} if the packages cannot be downloaded or unpacked
 */
export async function unpackKernel(directory: string, progress: (line: string) => void): Promise<Kernel> {
  const releaseFile = `${directory}/release`;
  try {
    return layout(directory, await Deno.readTextFile(releaseFile));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  progress("kernel: asking for the current version ...");
  await run("apt-get", ["update"]);
  const release = await currentRelease();
  const downloads = await Deno.makeTempDir({ dir: dirname(directory) }); // /tmp may be too small
  try {
    progress(`kernel: downloading ${release} ...`);
    const version = release.slice(0, release.lastIndexOf("-")); // without the flavour "-amd64"
    const names = [
      `linux-image-${release}`,
      `linux-headers-${release}`,
      `linux-headers-${version}-common`,
      `linux-kbuild-${version}`,
    ];
    await run("apt-get", ["download", "--option=APT::Sandbox::User=root", ...names], downloads);
    progress("kernel: unpacking ...");
    for await (const { name } of Deno.readDir(downloads)) {
      await run("dpkg", ["--extract", `${downloads}/${name}`, directory]);
    }
  } finally {
    await Deno.remove(downloads, { recursive: true });
  }
  const kernel = layout(directory, release);
  // Modules would get BTF of this one, made by a tool that nothing else here needs.
  await Deno.remove(`${directory}/${kernel.headers}/vmlinux`);
  await Deno.mkdir(kernel.extraModules, { recursive: true });
  await run("depmod", ["--basedir", kernel.moduleRoot, release]);
  await Deno.writeTextFile(releaseFile, release);
  return kernel;
}

async function currentRelease(): Promise<string> {
  const dependencies = await run("apt-cache", ["depends", "linux-image-amd64"]);
  const release = /Depends: linux-image-(\S+)/.exec(dependencies)?.[1];
  if (release === undefined) {
    throw new Error("Cannot tell the current kernel: package linux-image-amd64 unknown");
  }
  return release;
}

function layout(directory: string, release: string): Kernel {
  const version = release.slice(0, release.lastIndexOf("-"));
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
