import { findLibmnl, LibmnlMissing } from "./libmnl.ts";

/**
 * The file of the libmnl that this process uses, as the kernel tells it: an absolute path without links.
 *
 * @throws {LibmnlMissing} when none can be opened, or its file was removed since
 */
export function findLibmnlFile(): string {
  const name = findLibmnl();
  const maps = Deno.readTextFileSync("/proc/self/maps");
  const [, path] = /^.* (\/.*\/libmnl\.so[^/\n]*)$/m.exec(maps) ?? [];
  if (path !== undefined && !path.endsWith(" (deleted)")) return path;
  throw new LibmnlMissing(`Cannot find the file of libmnl that was opened as ${JSON.stringify(name)}`);
}
