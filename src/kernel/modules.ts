/** Modules of the running kernel. `root` is the directory that stands for "/". */
import { exists, readText } from "./sysfs.ts";

/** "not loaded": it could be loaded; "missing": the running kernel does not have it. */
export type ModuleState = "loaded" | "built in" | "not loaded" | "missing";

/** The running kernel's release (`6.12.118+deb13-amd64`). @throws {Deno.errors.NotFound} without /proc */
export function getRelease(root = ""): string {
  return Deno.readTextFileSync(`${root}/proc/sys/kernel/osrelease`).trim();
}

/**
 * Returns whether the kernel has a module. A loaded one has a file `initstate` in sysfs (kernel/module/sysfs.c). Of
 * those that are built in, sysfs shows only those with parameters or a version, so modules.builtin is read too.
 *
 * @param name with underscores, as the kernel spells it in sysfs
 */
export function getModuleState(name: string, root = ""): ModuleState {
  const directory = `${root}/sys/module/${name}`;
  if (exists(`${directory}/initstate`)) return "loaded";
  const modules = `${root}/lib/modules/${getRelease(root)}`;
  if (exists(directory) || isListed(`${modules}/modules.builtin`, name)) return "built in";
  return isListed(`${modules}/modules.dep`, name) ? "not loaded" : "missing";
}

/** In both lists each line begins with a path; a file name may have "-" where the module has "_". */
function isListed(path: string, name: string): boolean {
  const file = new RegExp(`^[^:]*/${name.replaceAll("_", "[-_]")}\\.ko(\\.\\w+)?(:|$)`, "m");
  return file.test(readText(path) ?? "");
}
