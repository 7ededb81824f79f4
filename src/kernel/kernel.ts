/**
 * What the plugin asks of the kernel and orders it to do, in the plugin's words. Types only: `linux.ts` is the real
 * kernel, the tests have one in memory.
 */
import type { RdmaDevice, ResourceCount } from "../netlink/nldev.ts";
import type { Link } from "../netlink/rtnl.ts";

export type { Link, RdmaDevice, ResourceCount };

export type RdmaMode = "exclusive" | "shared";

/** A network namespace, open: it cannot vanish until it is disposed of. */
export interface Netns extends Disposable {
  /** The path it was opened by. */
  readonly path: string;
  readonly fd: number;
  /** Its number on nsfs, which the kernel uses again once the namespace is gone. */
  readonly inode: number;
  /**
   * SO_NETNS_COOKIE, decimal: never used twice before a reboot. Undefined on kernels before 5.14.
   *
   * @throws {SyscallError} EPROTONOSUPPORT without ib_core
   */
  getCookie(): string | undefined;

  listRdmaDevices(): RdmaDevice[];
  /** The RDMA device of this index, or undefined when the namespace has none; asks for one, whatever there are. */
  getRdmaDevice(index: number): RdmaDevice | undefined;
  /** @throws {NetlinkError} with the kernel's reason */
  moveRdmaDevice(index: number, to: Netns): void;
  /** @throws {NetlinkError} EEXIST when the name is taken */
  renameRdmaDevice(index: number, name: string): void;
  /** The uverbs character device of an RDMA device ("uverbs3"), or undefined when it has none or is not here. */
  getUverbs(index: number): string | undefined;
  /** How many objects of each kind processes have on a device. */
  listResources(index: number): ResourceCount[];
  /** A link by name, or undefined when there is none of that name. */
  getLink(name: string): Link | undefined;
}

/** A device on the PCI or auxiliary bus, as the host's sysfs shows it. */
export interface BusDevice {
  readonly id: string;
  readonly bus: "pci" | "auxiliary";
  readonly driver?: string;
  /** A PCI function that is no virtual function: what else the host does may hang on it. */
  readonly isPhysicalFunction: boolean;
  /** How many virtual functions it has switched on. */
  readonly enabledVfs: number;
  /** Names of its RDMA devices in the host's namespace. */
  readonly rdmaDevices: readonly string[];
  /**
   * How many RDMA devices it has in all namespaces, those included that the kernel is moving from one to another. In mode
   * shared a device counts once for each namespace.
   */
  readonly rdmaDeviceCount: number;
  /** Its character devices of class uverbs, each with its RDMA device; they show in whatever namespace that is. */
  readonly uverbs: readonly { readonly name: string; readonly rdmaDevice: string }[];
}

/** A virtual function that has an administrative address. */
export interface VirtualFunction {
  readonly pf: string;
  readonly number: number;
  readonly mac: string;
  readonly deviceId: string;
}

export type RoceQosSetting = "trafficClass" | "tos";

/**
 * RoCE QoS of RDMA devices, by the names that they have at the time. A port's traffic class is that of all its packets,
 * -1 where none is set; only the host's namespace shows it. A port's default ToS is that of connections which the RDMA
 * connection manager makes; it is 0 after each move, and can be had in any namespace from the host.
 */
export interface RoceQos {
  /** A value for each port, from port 1 on. @throws {RoceQosError} */
  read(setting: RoceQosSetting, device: string): number[];
  /** @param value one for all ports, or one for each @throws {RoceQosError} */
  write(setting: RoceQosSetting, device: string, value: number | readonly number[]): void;
  /** Whether configfs has a group for the device. Reading and writing the ToS makes one and removes it again. */
  hasGroup(device: string): boolean;
  /** Removes the group if it is there. */
  removeGroup(device: string): void;
}

/** A folder held open, so that what its path leads to cannot change. */
export interface OpenFolder extends Disposable {
  /** Leads to it as long as it is open. */
  readonly path: string;
}

export interface Kernel {
  /** Identifies this boot; indexes, inodes and cookies mean nothing in another. */
  getBootId(): string;
  /** Microseconds since this boot began, which nobody can set (CLOCK_BOOTTIME); of two calls the later gets more. */
  getBootTimeUs(): number;
  /** The namespace the plugin runs in, where devices are at home. */
  readonly hostNetns: Netns;
  /** @throws {NetnsError} when the path is missing or no network namespace */
  openNetns(path: string): Netns;
  /** Whether a path leads to the namespace the plugin runs in; false when it leads nowhere. */
  isHostNetns(path: string): boolean;
  /** Paths below /proc to the namespaces that processes, or else open files, keep alive; each namespace once. */
  listNetns(): Iterable<{ readonly path: string; readonly inode: number }>;
  /** @throws {SyscallError} EPROTONOSUPPORT without ib_core */
  getRdmaMode(): RdmaMode;
  listVirtualFunctions(): VirtualFunction[];
  /** What stands on the buses under this id, or undefined. */
  getBusDevice(id: string): BusDevice | undefined;
  readonly roceQos: RoceQos;
  /**
   * Opens a folder below another, following no symbolic link.
   *
   * @param names of the folders on the way, and of the folder itself
   * @param make whether those that are missing are made, mode 0755
   * @throws {SyscallError} ENOTDIR for a symbolic link
   */
  openFolder(base: string, names: readonly string[], make: boolean): OpenFolder;
  /** Takes the exclusive lock on a file or folder; undefined when another process has it. */
  tryLock(path: string): Disposable | undefined;
  /** @throws {SyscallError} when this process cannot write to the file or folder */
  assertWritable(path: string): void;
  sleep(milliseconds: number): void;
}
