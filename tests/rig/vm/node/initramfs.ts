import { fileURLToPath } from "node:url";
import type { Kernel } from "./kernel.ts";
import { run } from "./packages.ts";

/** What the initramfs runs. */
export const INITRAMFS_SCRIPT = fileURLToPath(new URL("initramfs.sh", import.meta.url));

/** What the root file system of the node is reached through. */
const DRIVERS = ["virtio_pci", "virtiofs"];

/**
 * Builds the file system that a kernel starts with: it has the drivers of the real one that are modules there.
 *
 * @param root the real one
 */
export async function buildInitramfs(kernel: Kernel, root: string, target: string): Promise<void> {
  const tree = await Deno.makeTempDir();
  try {
    for (const directory of ["bin", "modules", "root"]) await Deno.mkdir(`${tree}/${directory}`);
    await Deno.copyFile(`${root}/bin/busybox`, `${tree}/bin/busybox`);
    await Deno.copyFile(INITRAMFS_SCRIPT, `${tree}/init`);
    await Deno.chmod(`${tree}/init`, 0o755);
    for (const [index, module] of (await modulesOf(kernel)).entries()) {
      await Deno.copyFile(module, `${tree}/modules/${String(index).padStart(2, "0")}.ko`);
    }
    await run("sh", ["-c", 'find . | busybox cpio -o -H newc >"$0"', target], tree);
  } finally {
    await Deno.remove(tree, { recursive: true });
  }
}

/** Files of the modules to load, in this order; none of what is built in. */
async function modulesOf({ moduleRoot, release }: Kernel): Promise<string[]> {
  const where = ["--dirname", moduleRoot, "--set-version", release];
  const steps = await run("modprobe", [...where, "--show-depends", "--all", ...DRIVERS]);
  // The path may have spaces; options of the module may follow it.
  return [...new Set([...steps.matchAll(/^insmod (.+\.ko(\.\w+)?)(?= |$)/gm)].map(([, path]) => path!))];
}
