/** Devices on a bus by sysfs, and how files of sysfs and /proc are read. `root` stands for "/". */
import { ifPresent } from "../sys/files.ts";
import type { BusDevice } from "./kernel.ts";

const BUSES = ["pci", "auxiliary"] as const;

/**
 * Looks a device up on the buses. The bus is the one that has it, whatever the form of its name.
 *
 * @param id a PCI address (`0000:3b:00.2`) or an auxiliary device (`mlx5_core.sf.4`)
 * @returns undefined when no bus has it, or the id cannot be the name of a file
 */
export function getBusDevice(id: string, root = ""): BusDevice | undefined {
  if (!isFileName(id)) return undefined;
  for (const bus of BUSES) {
    const directory = `${root}/sys/bus/${bus}/devices/${id}`;
    if (!exists(directory)) continue;
    const driver = linkName(`${directory}/driver`);
    const rdmaDevices = list(`${directory}/infiniband`);
    const verbs = `${directory}/infiniband_verbs`;
    const uverbs = list(verbs).map((name) => ({
      name,
      rdmaDevice: readText(`${verbs}/${name}/ibdev`) ?? "",
    }));
    const counted = countDirectories(`${directory}/infiniband`);
    const isPhysicalFunction = bus === "pci" && !exists(`${directory}/physfn`);
    return {
      id,
      bus,
      ...(driver === undefined ? {} : { driver }),
      isPhysicalFunction,
      enabledVfs: isPhysicalFunction && Number(readText(`${directory}/sriov_numvfs`)) || 0,
      rdmaDevices,
      rdmaDeviceCount: Math.max(rdmaDevices.length, uverbs.length, counted),
      uverbs,
    };
  }
  return undefined;
}

/** An RDMA device that has a uverbs device, and the device below it. */
export interface VerbsDevice {
  readonly name: string;
  readonly deviceId?: string | undefined;
}

/** The RDMA devices that have a uverbs device, in whatever namespace they are. */
export function listVerbsDevices(root = ""): VerbsDevice[] {
  const directory = `${root}/sys/class/infiniband_verbs`;
  return list(directory).flatMap((uverbs) => {
    const name = readText(`${directory}/${uverbs}/ibdev`);
    return name === undefined ? [] : [{ name, deviceId: linkName(`${directory}/${uverbs}/device`) }];
  });
}

/** The driver of the device below an RDMA device of the host namespace; undefined where there is none. */
export function getRdmaDriver(name: string, root = ""): string | undefined {
  return linkName(`${root}/sys/class/infiniband/${name}/device/driver`);
}

/** Returns whether a text can stand in a path as one name that leads nowhere else. */
export function isFileName(name: string): boolean {
  return name !== "" && name.length <= 255 && name !== "." && name !== ".." && !name.includes("/") &&
    !name.includes("\0");
}

/** Returns whether a path leads to something. */
export function exists(path: string): boolean {
  return ifReadable(() => Deno.statSync(path)) !== undefined;
}

/** The names in a directory, sorted; none when it is absent. */
export function list(directory: string): string[] {
  return ifReadable(() => [...Deno.readDirSync(directory)].map((entry) => entry.name).sort()) ?? [];
}

/** Returns the target of a link, or undefined when it is absent. */
export function linkTarget(path: string): string | undefined {
  return ifReadable(() => Deno.readLinkSync(path));
}

/** The last part of what a link points to, or undefined when it is absent. */
export function linkName(path: string): string | undefined {
  return linkTarget(path)?.split("/").at(-1);
}

/** A file's text without white space around it, or undefined when it is absent. */
export function readText(path: string): string | undefined {
  return ifReadable(() => Deno.readTextFileSync(path).trim());
}

/**
 * Counts the directories in a directory of sysfs, with those that only other network namespaces show, also while they
 * are renamed or moved: each links to its parent (fs/kernfs/inode.c, kernfs_refresh_inode).
 */
function countDirectories(directory: string): number {
  return (ifReadable(() => Deno.statSync(directory).nlink) ?? 2) - 2;
}

/** Nothing is there: also by a name that no file can have, or where a process has ended or a device is removed. */
const UNREADABLE = [
  "ENOENT",
  "ENOTDIR",
  "ENAMETOOLONG",
  "ELOOP",
  "EISDIR",
  "EINVAL",
  "ESRCH",
  "ENXIO",
  "ENODEV",
];

function ifReadable<T>(read: () => T): T | undefined {
  return ifPresent(read, UNREADABLE);
}
