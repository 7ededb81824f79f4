/** What sysfs tells of all network functions and RDMA devices of a node. */
import { ENODEV, ENXIO, errnoOf, ESRCH } from "../sys/errno.ts";
import type { BusDevice } from "./kernel.ts";

const BUSES = ["pci", "auxiliary"] as const;

/**
 * Looks a device up on the buses. Which bus it is on is decided by where it exists, not by the form of its name.
 *
 * @param id a PCI address (`0000:3b:00.2`) or an auxiliary device (`mlx5_core.sf.4`)
 * @returns undefined when no bus has it, or the id is no name that could stand in a directory
 */
export function getBusDevice(id: string, root = "/sys"): BusDevice | undefined {
  if (!isFileName(id)) return undefined;
  for (const bus of BUSES) {
    const directory = `${root}/bus/${bus}/devices/${id}`;
    if (!exists(directory)) continue;
    const driver = linkName(`${directory}/driver`);
    const rdmaDevices = list(`${directory}/infiniband`);
    const uverbs = list(`${directory}/infiniband_verbs`).map((name) => {
      return { name, rdmaDevice: readText(`${directory}/infiniband_verbs/${name}/ibdev`) ?? "" };
    });
    const isPhysicalFunction = bus === "pci" && !exists(`${directory}/physfn`);
    return {
      id,
      bus,
      ...(driver === undefined ? {} : { driver }),
      isPhysicalFunction,
      enabledVfs: isPhysicalFunction && Number(readText(`${directory}/sriov_numvfs`)) || 0,
      rdmaDevices,
      rdmaDeviceCount: Math.max(
        rdmaDevices.length,
        uverbs.length,
        countDirectorys(`${directory}/infiniband`),
      ),
      uverbs,
    };
  }
  return undefined;
}

/**
 * The netdevs of the host's physical functions that have virtual functions. Asked of the PCI bus, since most links of
 * a node can be pods' and have no hardware.
 */
export function listPfNetdevs(root = "/sys"): string[] {
  const functions = `${root}/bus/pci/devices`;
  return list(functions).flatMap((id) => {
    const vfs = readText(`${functions}/${id}/sriov_numvfs`) ?? "0";
    return vfs === "0" ? [] : list(`${functions}/${id}/net`);
  });
}

/** The PCI address of a virtual function of a physical function's netdev, or undefined when it is switched off. */
export function getVfDeviceId(pf: string, vf: number, root = "/sys"): string | undefined {
  return isFileName(pf) ? linkName(`${root}/class/net/${pf}/device/virtfn${vf}`) : undefined;
}

/** Whether a text could stand in a path as one name that leads nowhere else. */
export function isFileName(name: string): boolean {
  return name !== "" && name.length <= 255 && name !== "." && name !== ".." && !name.includes("/") &&
    !name.includes("\0");
}

/** Whether something is there. */
export function exists(path: string): boolean {
  return absentIsUndefined(() => Deno.statSync(path)) !== undefined;
}

/** The names in a directory, sorted; none when it is absent. */
export function list(directory: string): string[] {
  return absentIsUndefined(() => [...Deno.readDirSync(directory)].map((entry) => entry.name).sort()) ?? [];
}

/** What a link points at, or undefined when it is absent. */
export function linkTarget(path: string): string | undefined {
  return absentIsUndefined(() => Deno.readLinkSync(path));
}

/**
 * How many directories are in a directory of sysfs, those included that only other network namespaces show. Each is a link to
 * the one above (fs/kernfs/inode.c, kernfs_refresh_inode), also while it is renamed or given to another namespace.
 */
function countDirectorys(directory: string): number {
  return (absentIsUndefined(() => Deno.statSync(directory).nlink) ?? 2) - 2;
}

/** The last part of what a link points at, or undefined when it is absent. */
export function linkName(path: string): string | undefined {
  return linkTarget(path)?.split("/").at(-1);
}

/** A file's text without white space around it, or undefined when it is absent. */
export function readText(path: string): string | undefined {
  return absentIsUndefined(() => Deno.readTextFileSync(path).trim());
}

/** Errors that say nothing is there: also of a name that no file can have, and of a file of another kind. */
const ABSENT = ["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP", "EISDIR", "EINVAL"];
/** Those that have no code in Deno: of a process that has ended, and of a device that is being removed. */
const ABSENT_UNNAMED = [ESRCH, ENXIO, ENODEV];

function absentIsUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const { code = "" } = error as { code?: string };
    if (ABSENT.includes(code) || ABSENT_UNNAMED.includes(errnoOf(error) ?? 0)) return undefined;
    throw error;
  }
}

/** A network controller on the PCI bus. */
export interface NetworkFunction {
  /** Its PCI address. */
  readonly id: string;
  readonly driver?: string;
  /** Its network interfaces in the namespace that sysfs was mounted in. */
  readonly netdevs: readonly string[];
  readonly isVirtual: boolean;
  /** How many virtual functions it could have; 0 without SR-IOV. */
  readonly totalVfs: number;
  readonly enabledVfs: number;
  /** Names of its RDMA devices in the namespace that sysfs was mounted in. */
  readonly rdmaDevices: readonly string[];
}

/** PCI base class 02 (uapi linux/pci_ids.h): Ethernet, InfiniBand and other network controllers. */
const NETWORK_CLASS = "0x02";

/** All network controllers on the PCI bus, by address. */
export function listNetworkFunctions(root = ""): NetworkFunction[] {
  const bus = `${root}/sys/bus/pci/devices`;
  return list(bus).filter((id) => readText(`${bus}/${id}/class`)?.startsWith(NETWORK_CLASS)).map((id) => {
    const directory = `${bus}/${id}`;
    const driver = linkName(`${directory}/driver`);
    return {
      id,
      ...(driver === undefined ? {} : { driver }),
      netdevs: list(`${directory}/net`),
      isVirtual: exists(`${directory}/physfn`),
      totalVfs: Number(readText(`${directory}/sriov_totalvfs`) ?? 0),
      enabledVfs: Number(readText(`${directory}/sriov_numvfs`) ?? 0),
      rdmaDevices: list(`${directory}/infiniband`),
    };
  });
}

/** Names of the RDMA devices that have a uverbs device, in whatever namespace they are. */
export function listVerbsDevices(root = ""): string[] {
  const directory = `${root}/sys/class/infiniband_verbs`;
  const names = list(directory).map((uverbs) => readText(`${directory}/${uverbs}/ibdev`));
  return names.filter((name) => name !== undefined);
}

/** The driver of the device below an RDMA device of the host's namespace; undefined where there is none. */
export function getRdmaDriver(name: string, root = ""): string | undefined {
  return linkName(`${root}/sys/class/infiniband/${name}/device/driver`);
}
