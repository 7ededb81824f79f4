import { dirname } from "node:path";
import { Suite } from "./apt.ts";
import { run } from "./packages.ts";
import type { Architecture } from "./series.ts";

/** Packages of the guest, besides those that they depend on. */
const PACKAGES = [
  ...["base-files", "dash", "coreutils", "findutils", "grep", "sed", "perl-base"],
  ...["mount", "util-linux", "kmod", "iproute2", "libmnl0", "strace"],
  "libgcc-s1", // of the plugin
  "busybox-static", // of the initramfs
];

/** What the packages leave to their scripts. */
const DIRECTORIES = ["mnt", "opt"];

/** Makes a root file system whose programs this machine cannot run: Debian packages that are unpacked only. */
export async function makeRoot(
  directory: string,
  { name }: Architecture,
  progress: (line: string) => void,
): Promise<void> {
  progress(`root file system: downloading packages for ${name} ...`);
  await using suite = await Suite.open("trixie", [name], dirname(directory), progress);
  const made = `${suite.directory}/root`;
  await suite.unpack(await suite.withDependencies(PACKAGES), made);
  for (const name of DIRECTORIES) await Deno.mkdir(`${made}/${name}`);
  await run("rm", ["-rf", directory]);
  await Deno.rename(made, directory);
}
