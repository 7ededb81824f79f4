import { dirname } from "node:path";
import { Missing, Suite } from "./apt.ts";
import { run } from "./packages.ts";
import { AMD64, type Series, sourceOf } from "./series.ts";

/** A Debian kernel with its modules and headers, unpacked into a directory and not installed. */
export interface Kernel {
  release: string;
  /** The compressed kernel that QEMU boots. */
  image: string;
  /** Directory that `modprobe -d` and `depmod -b` take. */
  moduleRoot: string;
  /** Where the module tree takes modules of our own. */
  extraModules: string;
  directory: string;
  /** For `make -C`, below that directory. */
  headers: string;
  /** For `make -f`, below that directory. */
  makefile: string;
}

export class KernelUnavailable extends Error {}

/** Unpacks the newest Debian kernel of a series, unless one is there. @throws {KernelUnavailable} if there is none */
export async function unpackKernel(
  directory: string,
  series: Series,
  progress: (line: string) => void,
): Promise<Kernel> {
  const releaseFile = `${directory}/release`;
  if (!await exists(releaseFile)) {
    progress(`kernel: asking for the newest Linux ${series} ...`);
    const release = await download(directory, series, progress).catch((cause) => {
      if (!(cause instanceof Missing)) throw cause;
      throw new KernelUnavailable(`Linux ${series} is not to be had: ${cause.message}`, { cause });
    });
    await arrange(layout(directory, release));
    await Deno.writeTextFile(releaseFile, release);
  }
  return layout(directory, await Deno.readTextFile(releaseFile));
}

async function download(
  directory: string,
  series: Series,
  progress: (line: string) => void,
): Promise<string> {
  const { suite: name, architecture, version } = sourceOf(series);
  // Its modules are built by tools that run here.
  const architectures = [...new Set([AMD64.name, architecture.name])];
  await using suite = await Suite.open(name, architectures, dirname(directory), progress); // /tmp may be too small
  // As in `6.1.0-56-amd64` or `7.3.4+deb13-amd64`; others are for clouds or real time.
  const prefix = `linux-image-${version}.`;
  const plain = new RegExp(`^linux-image-([\\d.]+(-\\d+|\\+deb\\d+)-${architecture.name})$`);
  const releases = (await suite.packageNames(prefix)).flatMap((name) => plain.exec(name)?.[1] ?? []);
  const release = releases.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  if (release === undefined) throw new Missing(`${name} has no package ${prefix}*-${architecture.name}`);

  progress(`kernel: downloading ${release} ...`);
  // From Linux 6.19 on linux-image has nothing but dependencies.
  const names = [`linux-image-${release}`, `linux-headers-${release}`];
  const dependencies = await Promise.all(names.map((name) => suite.dependencies(name)));
  const needed = dependencies.flat().filter((name) =>
    /^linux-(base|binary|modules|headers|kbuild)-/.test(name)
  );
  await suite.unpack([...new Set([...names, ...needed])], directory);
  return release;
}

async function arrange(
  { release, image, moduleRoot, extraModules, directory, headers }: Kernel,
): Promise<void> {
  // Up to Debian 12 packages have modules in /lib.
  const oldModules = `${directory}/lib/modules`;
  if (await exists(oldModules)) await Deno.rename(oldModules, `${moduleRoot}/lib/modules`);
  // Modules would get BTF of this one, made by a tool that nothing else here needs.
  const vmlinux = `${directory}/${headers}/vmlinux`;
  if (await exists(vmlinux)) await Deno.remove(vmlinux);
  // From Linux 6.19 on the package of the image has it among the modules.
  const newImage = `${moduleRoot}/lib/modules/${release}/vmlinuz`;
  if (await exists(newImage)) {
    await Deno.mkdir(dirname(image), { recursive: true });
    await Deno.rename(newImage, image);
  }
  await Deno.mkdir(extraModules, { recursive: true });
  await run("depmod", ["--basedir", moduleRoot, release]);
}

const exists = (path: string): Promise<boolean> => Deno.lstat(path).then(() => true, () => false);

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
