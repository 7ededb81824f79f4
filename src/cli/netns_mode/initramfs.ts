/** The initramfs, from which ib_core may be loaded: it has a copy of modprobe.d from when it was built. */
import { ifPresent } from "../../sys/files.ts";
import { readIfPresent } from "./persist.ts";

export interface Initramfs {
  /** "older": it contains ib_core and is older than the file; "unknown": its content is unknown. */
  readonly state: "fine" | "older" | "unknown";
  readonly image?: string;
  /** The command that rebuilds it on this distribution. */
  readonly rebuild: string;
}

/** Lists the files in an initramfs; undefined when no program here can. */
export type ListImage = (path: string) => string | undefined;

/** Programs that list the files of an initramfs: Debian's, dracut's, Arch's. */
const LISTERS = ["lsinitramfs", "lsinitrd", "lsinitcpio"];

/**
 * Checks whether ib_core is loaded from an initramfs that was built before a modprobe.d file was written.
 *
 * @param file the modprobe.d file; undefined if it is only about to be written, so that every initramfs is older
 * @param release release of the running kernel (`uname -r`)
 */
export function checkInitramfs(
  file: string | undefined,
  { root = "", release, listImage = listFiles }: { root?: string; release: string; listImage?: ListImage },
): Initramfs {
  const rebuild = rebuildCommand(readIfPresent(`${root}/etc/os-release`) ?? "");
  const image = candidates(root, release).find((path) => modified(`${root}${path}`) !== undefined);
  if (image === undefined) return { state: "unknown", rebuild };
  const path = `${root}${image}`;
  const written = file === undefined ? Infinity : modified(`${root}${file}`) ?? Infinity;
  if (modified(path)! > written) return { state: "fine", image, rebuild };
  const files = listImage(path);
  if (files === undefined) return { state: "unknown", image, rebuild };
  return { state: /\/ib_core\.ko(\.\w+)?\s*$/m.test(files) ? "older" : "fine", image, rebuild };
}

/** The command that rebuilds the initramfs, by ID and ID_LIKE of an os-release file, os-release(5). */
export function rebuildCommand(osRelease: string): string {
  const values = osRelease.matchAll(/^ID(?:_LIKE)?=["']?([^"'\n]*)/gm);
  const ids = [...values].flatMap(([, value]) => value!.split(" "));
  const isOneOf = (...names: string[]) => names.some((name) => ids.includes(name));
  if (isOneOf("debian", "ubuntu")) return "update-initramfs -u";
  if (isOneOf("fedora", "rhel", "centos", "suse", "opensuse")) return "dracut -f";
  if (isOneOf("arch")) return "mkinitcpio -P";
  return "the distribution's command for it (update-initramfs -u, dracut -f or mkinitcpio -P)";
}

/** The paths of Debian, Fedora, SUSE, image-based Fedora and Arch. */
function candidates(root: string, release: string): string[] {
  const modules = `/usr/lib/modules/${release}`;
  const pkgbase = readIfPresent(`${root}${modules}/pkgbase`)?.trim();
  return [
    `/boot/initrd.img-${release}`,
    `/boot/initramfs-${release}.img`,
    `/boot/initrd-${release}`,
    `${modules}/initramfs.img`,
    ...(pkgbase ? [`/boot/initramfs-${pkgbase}.img`] : []),
  ];
}

function modified(path: string): number | undefined {
  return ifPresent(() => Deno.statSync(path))?.mtime?.getTime();
}

function listFiles(path: string): string | undefined {
  const streams = { stdin: "null", stdout: "piped", stderr: "null" } as const;
  for (const program of LISTERS) {
    const output = ifPresent(() => new Deno.Command(program, { args: [path], ...streams }).outputSync());
    if (output?.success) return new TextDecoder().decode(output.stdout);
  }
  return undefined;
}
