import { exists, readText } from "./sysfs.ts";

/** "not loaded": the running kernel has it among its modules; "missing": it has not. */
export type ModuleState = "loaded" | "built in" | "not loaded" | "missing";

/** The running kernel's release (`6.12.118+deb13-amd64`). @throws {Deno.errors.NotFound} without /proc */
export function getRelease(root = ""): string {
  return Deno.readTextFileSync(`${root}/proc/sys/kernel/osrelease`).trim();
}

/**
 * Whether the kernel has a module. Loadable ones have a file `initstate` in sysfs (kernel/module/sysfs.c); of built-in
 * ones sysfs shows only those with parameters or a version, so modules.builtin is looked at too.
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

/** Both lists begin each line with a path; a file's name may have "-" where the module's has "_". */
function isListed(path: string, name: string): boolean {
  const file = new RegExp(`^[^:]*/${name.replaceAll("_", "[-_]")}\\.ko(\\.\\w+)?(:|$)`, "m");
  return file.test(readText(path) ?? "");
}
