/**
 * What this program asks of the kernel and has it do. Types only: `linux.ts` is the kernel of this machine, and the tests
 * have one in memory.
 */
import type { RdmaDevice, RdmaNode, ResourceCount } from "../netlink/nldev.ts";
import type { Link, LinkDetails, VfGuids } from "../netlink/rtnl.ts";
import type { OpenDirectory } from "../sys/files.ts";

export type { Link, LinkDetails, RdmaDevice, RdmaNode, ResourceCount, VfGuids };

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
  /**
   * Moves a device to another namespace.
   *
   * @param name its name there
   * @throws {NetlinkError} EEXIST when the name, or without one the device's own, is taken: by a device there, up to
   *   Linux 7.2 by any on the node
   */
  moveRdmaDevice(index: number, to: Netns, name?: string): void;
  /** @throws {NetlinkError} EEXIST when the name is taken */
  renameRdmaDevice(index: number, name: string): void;
  /**
   * Makes a Soft-RoCE device on a netdev of this namespace. The device appears in the initial namespace.
   *
   * @throws {NetlinkError} EINVAL when module rdma_rxe is not there (nldev.c, nldev_newlink), EEXIST when the netdev has
   *   such a device already (rxe.c, rxe_newlink)
   */
  addSoftRoceDevice(name: string, netdev: string): void;
  /** @throws {NetlinkError} EINVAL when this namespace has no such device, or it is one of an adapter */
  removeSoftRoceDevice(index: number): void;
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

export interface Kernel {
  /** Identifies this boot; indexes, inodes and cookies mean nothing in another. */
  getBootId(): string;
  /** Microseconds since this boot began, which nobody can set (CLOCK_BOOTTIME); of two calls the later gets more. */
  getBootTimeUs(): number;
  /** The namespace the plugin runs in, where devices are on the host. */
  getHostNetns(): Netns;
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
  /** Names of the RDMA devices that have a uverbs device, in whatever namespace they are. */
  listDeviceNames(): string[];
  readonly roceQos: RoceQos;
  /**
   * Opens a directory below another, following no symbolic link.
   *
   * @param names of the directories on the way, and of the directory itself
   * @param make whether those that are missing are made, mode 0755
   * @throws {SyscallError} ENOTDIR for a symbolic link
   */
  openDirectory(base: string, names: readonly string[], make: boolean): OpenDirectory;
  /** Takes the exclusive lock on a file or directory; undefined when another process has it. */
  tryLock(path: string): Disposable | undefined;
  /** @throws {SyscallError} when this process cannot write to the file or directory */
  assertWritable(path: string): void;
  sleep(milliseconds: number): void;
}

/** A netdev of the host's namespace that has virtual functions, or could have. */
export interface PhysicalFunction {
  /** Its netdev's name. */
  readonly name: string;
  /** Its netdev's index. */
  readonly index: number;
  /** Its PCI address. */
  readonly deviceId: string;
  readonly isInfiniBand: boolean;
  /** It is switched on and has a carrier. */
  readonly isUp: boolean;
  readonly address?: string;
  /** The address the hardware came with; absent before kernel 5.6. */
  readonly permanentAddress?: string;
  /** Its virtual functions that are switched on, by number. */
  readonly vfs: readonly {
    readonly number: number;
    readonly deviceId: string;
    /** The administrative address; all zeros when it was given none, and on InfiniBand, which has GUIDs instead. */
    readonly mac: string;
    /** The administrative GUIDs, of InfiniBand functions alone, and if the driver shows them. */
    readonly guids?: VfGuids;
  }[];
}

/** A netdev of the host's namespace. */
export interface Netdev {
  readonly name: string;
  readonly index: number;
  /** It is switched on and has a carrier. */
  readonly isUp: boolean;
  /** Netdevs of the same namespace that are on top of it: a bond, bridge or team that it is in, VLANs, macvlans. */
  readonly uppers: readonly string[];
  readonly address: string;
  /** Its driver made the address up (addr_assign_type NET_ADDR_RANDOM), so it will be another one after a reboot. */
  readonly isRandom: boolean;
  /** The hardware or whoever configured it gave the address (NET_ADDR_PERM). */
  readonly isPermanent: boolean;
}

/** What a PCI function's driver made, as far as the host's sysfs tells. */
export interface FunctionDevices {
  readonly netdevs: readonly Netdev[];
  /** It has a netdev, but in another namespace. */
  readonly isNetdevAway: boolean;
  /** It has an RDMA device, but in another namespace. */
  readonly isRdmaAway: boolean;
  /** Names of the vDPA devices that were made of it. */
  readonly vdpaDevices: readonly string[];
}

/** What stands for a virtual function on the side of the physical function, in switchdev mode. */
export interface Representor {
  /** The netdev's name. */
  readonly name: string;
  /** Number of the virtual function. */
  readonly vf: number;
  /** The bridge, or whatever else, that it is in. */
  readonly uppers: readonly string[];
}

/** What the commands need of the kernel on top of what the plugin does. */
export interface NodeKernel extends Kernel {
  /** When this boot began, in milliseconds since 1970. */
  getBootedAtMs(): number;
  /** @throws {NetlinkError} EBUSY while another network namespace exists, EPERM without CAP_NET_ADMIN */
  setRdmaMode(mode: RdmaMode): void;
  /** The network namespaces other than the initial one, and what keeps each alive, as far as this process can see. */
  listOtherNetns(): OtherNetnsList;
  /** The links of a namespace. */
  listLinks(netns: Netns): LinkDetails[];
  /** Indexes of the host's links that have an IP address. */
  listAddressedLinks(): ReadonlySet<number>;
  /** The RDMA devices of a namespace with their node GUIDs. */
  listRdmaNodes(netns: Netns): RdmaNode[];
  listPhysicalFunctions(): PhysicalFunction[];
  getFunctionDevices(deviceId: string): FunctionDevices;
  /** The representors of a physical function's virtual functions. */
  listRepresentors(pf: PhysicalFunction): Representor[];
  /** @throws {NetlinkError} when the driver refuses, or without CAP_NET_ADMIN */
  setVfMac(pf: PhysicalFunction, number: number, mac: string): void;
  /** Sets node and port GUID. @throws {NetlinkError} when the driver refuses, or the port is not an InfiniBand port */
  setVfGuid(pf: PhysicalFunction, number: number, guid: bigint): void;
  /** Unbinds the driver of a PCI function. Several functions can be unbound at once. @throws {SyscallError} */
  unbindDriver(deviceId: string): Promise<void>;
  /**
   * Binds a driver to a PCI function: the named one, else the one that the kernel chooses. Returns when the driver has
   * started, which can take more than a second. Several functions can be bound at once.
   *
   * @throws {SyscallError} with the driver's errno when it does not start
   */
  bindDriver(deviceId: string, driver: string | undefined): Promise<void>;
  /** Where libmnl was found: the name alone for the system's, else a path. @throws {LibmnlMissing} */
  findLibmnl(): string;
  /** Until disposed of, SIGINT, SIGTERM and SIGHUP do not end this process; `caught` returns the first one. */
  catchSignals(): Disposable & { caught(): Promise<string | undefined> };
  /** Waits without blocking what else is in progress. */
  delay(milliseconds: number): Promise<void>;
}

export interface OtherNetnsList {
  readonly namespaces: readonly OtherNetns[];
  /** Every process of the machine could be looked at. Otherwise there may be namespaces that are not listed. */
  readonly isComplete: boolean;
}

export interface OtherNetns {
  /** Its number on nsfs. */
  readonly inode: number;
  /** Where it is mounted; below /proc/PID/root when only another mount namespace has it there. */
  readonly paths: readonly string[];
  /** Those in it, or with a file open that leads to it. */
  readonly processes: readonly NetnsProcess[];
}

export interface NetnsProcess {
  readonly pid: number;
  /** Its command line; the kernel's name for it, in brackets, when it has none. */
  readonly command: string;
  /** The container that its control group is named after. */
  readonly containerId?: string;
  /** False: it, or a thread of it, is in the namespace. True: it only has a file open that leads there. */
  readonly onlyOpen: boolean;
}
