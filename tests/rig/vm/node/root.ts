import { dirname } from "node:path";
import { openSuite } from "./apt.ts";
import type { Architecture } from "./architecture.ts";
import { run } from "./packages.ts";

/** Packages of the guest, besides those that they depend on. */
const PACKAGES = [
  ...["base-files", "dash", "coreutils", "findutils", "grep", "sed"],
  ...["mount", "util-linux", "kmod", "iproute2", "libmnl0", "strace"],
  "libgcc-s1", // of the plugin
  "busybox-static", // of the initramfs
];

/** What the packages leave to their scripts. */
const DIRECTORIES = ["mnt", "opt"];

/**
 * Makes the root file system of a node whose programs this machine cannot run: Debian 13's packages, unpacked and not
 * set up.
 *
 * @throws {Error} if the packages cannot be downloaded or unpacked
 */
export async function makeRoot(
  directory: string,
  { name }: Architecture,
  progress: (line: string) => void,
): Promise<void> {
  progress(`root file system: downloading packages for ${name} ...`);
  const temporaryIn = dirname(directory);
  await using suite = await openSuite("trixie", [name], temporaryIn, progress);
  const made = await Deno.makeTempDir({ dir: temporaryIn });
  try {
    await suite.download(await suite.withDependencies(PACKAGES), made);
    for (const file of [...Deno.readDirSync(made)].map(({ name }) => `${made}/${name}`)) {
      await run("dpkg", ["--extract", file, `${made}/root`]);
    }
    for (const name of DIRECTORIES) await Deno.mkdir(`${made}/root/${name}`);
    await run("rm", ["-rf", directory]);
    await Deno.rename(`${made}/root`, directory);
  } finally {
    await Deno.remove(made, { recursive: true });
  }
}
