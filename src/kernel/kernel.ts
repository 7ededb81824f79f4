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
  /** SO_NETNS_COOKIE, decimal: never used twice before a reboot. Absent on kernels before 5.14. */
  readonly cookie?: string;

  listRdmaDevices(): RdmaDevice[];
  /** The RDMA device of this index, or undefined when the namespace has none; asks for one, whatever there are. */
  getRdmaDevice(index: number): RdmaDevice | undefined;
  /** @throws {NetlinkError} with the kernel's reason */
  moveRdmaDevice(index: number, to: Netns): void;
  /** @throws {NetlinkError} EEXIST when the name is taken */
  renameRdmaDevice(index: number, name: string): void;
  /** The uverbs character device of an RDMA device ("uverbs3"), or undefined when it has none. */
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

export interface Kernel {
  /** Identifies this boot; indexes, inodes and cookies mean nothing in another. */
  readonly bootId: string;
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
  /** Takes the exclusive lock on a file or folder; undefined when another process has it. */
  tryLock(path: string): Disposable | undefined;
  /** @throws {SyscallError} when this process cannot write to the file or folder */
  assertWritable(path: string): void;
  sleep(milliseconds: number): void;
}
