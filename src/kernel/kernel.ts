/** The kernel as the plugin uses it, and its errors. `linux.ts` is that of this machine; tests have one in memory. */
import type { RdmaDevice, ResourceCount } from "../netlink/nldev.ts";
import type { Link } from "../netlink/rtnl.ts";
import { EPROTONOSUPPORT, SyscallError } from "../sys/errno.ts";
import type { OpenDirectory } from "../sys/files.ts";

export { DecodeError, isNameTaken, LibmnlMissing, NetlinkError, unlessRefused } from "../netlink/error.ts";
export type { Link, RdmaDevice, ResourceCount };

/** Returns whether the kernel has no RDMA subsystem: its netlink family is missing (af_netlink.c, netlink_create). */
export function isRdmaMissing(error: unknown): boolean {
  return error instanceof SyscallError && error.errno === EPROTONOSUPPORT;
}

/** A setting of RoCE QoS cannot be read or set. */
export class RoceQosError extends Error {
  override readonly name = "RoceQosError";

  constructor(message: string, readonly advice: string, options: ErrorOptions) {
    super(message, options);
  }
}

export type RdmaMode = "exclusive" | "shared";

/** A network namespace, open: it cannot vanish until it is disposed of. */
export interface Netns extends Disposable {
  /** The path it was opened by. */
  readonly path: string;
  readonly fd: number;
  /** Its number on nsfs, which the kernel reuses when the namespace has gone. */
  readonly inode: number;
  /**
   * SO_NETNS_COOKIE, decimal: unique until the next reboot. Undefined on kernels before 5.14.
   *
   * @throws {SyscallError} EPROTONOSUPPORT without ib_core
   */
  getCookie(): string | undefined;

  listRdmaDevices(): RdmaDevice[];
  /** The RDMA device with this index, or undefined; asks for this one alone, however many there are. */
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
  /** The uverbs character device of an RDMA device ("uverbs3"); undefined when it has none or is elsewhere. */
  getUverbs(index: number): string | undefined;
  /** The netdev of this namespace that a device's first port is on; a Soft-RoCE device was made on it. */
  getNetdev(index: number): string | undefined;
  /** Counts the objects of each kind that processes have on a device. */
  listResources(index: number): ResourceCount[];
  getLink(name: string): Link | undefined;
  listAddresses(link: number): IpAddress[];
  /**
   * Opens the ports of an RDMA device by its name; undefined when it is not here. What is open stays so wherever the
   * device is moved, and whatever it is called there.
   *
   * @throws {SyscallError} where no sysfs of the namespace can be mounted; the host's is there already
   */
  openPorts(name: string): OpenPorts | undefined;
}

export interface OpenPorts extends Disposable {
  /**
   * The ports as they are now; none when the device has gone.
   *
   * @param gidLimit how many entries of each GID table to read
   */
  list(gidLimit: number): Port[];
}

/** An IP address of the pod. */
export interface IpAddress {
  /** For people: IPv4 with dots, IPv6 as the GID. */
  readonly text: string;
  /** The entry that a RoCE device has for it, as sysfs writes it. */
  readonly gid: string;
}

/** A port of an RDMA device. */
export interface Port {
  readonly number: number;
  /** As sysfs writes it: "4: ACTIVE". */
  readonly state: string;
  readonly isActive: boolean;
  readonly isRoce: boolean;
  /** The entries in use of a RoCE port's GID table, as far as it was read. */
  readonly gids: readonly { readonly index: number; readonly gid: string; readonly isRoceV2: boolean }[];
  /** The GID table has more entries than were read. */
  readonly hasMoreGids: boolean;
}

/** Names the state of a port: "ACTIVE" of "4: ACTIVE". */
export function nameState({ state }: Pick<Port, "state">): string {
  return state.replace(/^\d+: /, "");
}

/** Enough for the addresses of most pods. Reading a whole table takes longer than a CNI call may need. */
export const FIRST_GIDS = 16;

/**
 * Reads ports with the start of their GID tables, and with all of these if that is not enough.
 *
 * @param read is given how many entries of each table to read
 */
export function readGids<T>(read: (gidLimit: number) => T, isEnough: (found: T) => boolean): T {
  const found = read(FIRST_GIDS);
  return isEnough(found) ? found : read(Infinity);
}

/** Returns whether an address or GID is link-local (fe80::/10), as those that the kernel makes by itself. */
export function isLinkLocal(gid: string): boolean {
  return /^fe[89ab]/.test(gid);
}

/** A device on the PCI or auxiliary bus, as the host's sysfs shows it. */
export interface BusDevice {
  readonly id: string;
  readonly bus: "pci" | "auxiliary";
  readonly driver?: string;
  /** A PCI function that is not a virtual function: the host may depend on it. */
  readonly isPhysicalFunction: boolean;
  /** The number of its enabled virtual functions. */
  readonly enabledVfs: number;
  /** Names of its RDMA devices in the host namespace. */
  readonly rdmaDevices: readonly string[];
  /** The number of its RDMA devices in all namespaces and on their way; in shared mode once for each namespace. */
  readonly rdmaDeviceCount: number;
  /** Its uverbs character devices, each with its RDMA device, in whatever namespace that is. */
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
 * RoCE QoS of RDMA devices, by their current names. The traffic class of a port applies to all its packets;
 * it is -1 where none is set, and only the host namespace shows it. The default ToS of a port applies to
 * connections that the RDMA connection manager makes; it is 0 after each move, and the host can access it
 * whatever namespace the device is in.
 */
export interface RoceQos {
  /** A value for each port, from port 1 on. @throws {RoceQosError} */
  read(setting: RoceQosSetting, device: string): number[];
  /** @param value one for all ports, or one for each @throws {RoceQosError} */
  write(setting: RoceQosSetting, device: string, value: number | readonly number[]): void;
  /** Returns whether configfs has a group for the device. Access to the ToS creates one temporarily. */
  hasGroup(device: string): boolean;
  /** Removes the group if it is there. */
  removeGroup(device: string): void;
}

/** Limits of the RDMA resources that processes have on a device; "max" is none. */
export interface RdmaLimits {
  /** Contexts: each time that a program opens the device. */
  readonly hcaHandle?: number | "max";
  /** Protection domains, memory regions, queue pairs and other objects. */
  readonly hcaObject?: number | "max";
}

/** A device by its name in its namespace, with its limits. */
export interface LimitedDevice extends Required<RdmaLimits> {
  readonly name: string;
  /** Only where several devices have the name, from Linux 7.3 on. */
  readonly index?: number;
}

/**
 * The cgroups that limit RDMA resources. A cgroup is named by its path in the hierarchy, as in /proc/PID/cgroup. Its
 * limits of a device stay when the device is moved or renamed.
 */
export interface RdmaCgroups {
  /** The path at which the hierarchy is mounted. */
  readonly mount: string;
  /** The cgroup of a process; undefined when the process has ended. */
  ofProcess(pid: number): string | undefined;
  /** Returns whether a cgroup is there; false for the root, and for paths that lead out of the hierarchy. */
  has(cgroup: string): boolean;
  /** Returns whether a cgroup can have limits. In version 2 that takes the rdma controller in its parent's cgroup.subtree_control. */
  hasLimits(cgroup: string): boolean;
  /** The limits of all devices that the kernel shows in a cgroup, in whatever namespaces they are. */
  list(cgroup: string): LimitedDevice[];
  /** The limits of a device, in whatever namespace that is; undefined when cgroup or device are not there. */
  read(cgroup: string, device: RdmaDevice): RdmaLimits | undefined;
  /**
   * Sets limits of a device, in whatever namespace that is. Does nothing when the cgroup is not there.
   *
   * @param device its index is needed where several devices have the name
   * @throws {SyscallError} ENODEV when no device has the name
   */
  write(cgroup: string, device: Pick<LimitedDevice, "name" | "index">, limits: RdmaLimits): void;
}

/** The kernel as far as the plugin needs it. */
export interface Kernel {
  /** Identifies this boot; indexes, inodes and cookies mean nothing in another one. */
  getBootId(): string;
  /** Microseconds since this boot began (CLOCK_BOOTTIME, which cannot be set). Increases from call to call. */
  getBootTimeUs(): number;
  /** The namespace that the plugin runs in, opened at the first call and never closed. */
  getHostNetns(): Netns;
  /** @throws {NetnsError} when the path is missing or not a network namespace */
  openNetns(path: string): Netns;
  /** Returns whether a path leads to the host namespace; false when it leads nowhere. */
  isHostNetns(path: string): boolean;
  /** Paths below /proc to the namespaces that processes or open files keep alive: all paths to each. */
  listNetns(): Iterable<{ readonly path: string; readonly inode: number }>;
  /** @throws {SyscallError} EPROTONOSUPPORT without ib_core */
  getRdmaMode(): RdmaMode;
  listVirtualFunctions(): VirtualFunction[];
  /** The device with this id on one of the buses, or undefined. */
  getBusDevice(id: string): BusDevice | undefined;
  /** Names of the RDMA devices that have a uverbs device, in whatever namespace they are. */
  listDeviceNames(): string[];
  readonly roceQos: RoceQos;
  /** Undefined when the kernel lacks the rdma controller, or its hierarchy is not mounted. */
  getRdmaCgroups(): RdmaCgroups | undefined;
  /**
   * Opens a directory below another, following no symbolic link.
   *
   * @param names the directories on the way, and the directory itself
   * @param make create missing directories, mode 0755
   * @throws {SyscallError} ENOTDIR for a symbolic link
   */
  openDirectoryBelow(base: string, names: readonly string[], make: boolean): OpenDirectory;
  /**
   * Takes the exclusive lock on a file or directory. Blocks this thread while another process has it; those who wait
   * get it in the order in which they came. It ends with the process, however that ends.
   *
   * @returns undefined when the time is over
   * @throws {SyscallError}
   */
  lock(path: string, timeoutMs: number): Disposable | undefined;
  /**
   * The number that the process which has the lock has in this PID namespace; undefined if it is not visible in it.
   *
   * @param ownPid the number that the process has in its own, which may be a container's
   */
  findLockHolder(path: string, ownPid: number): number | undefined;
  /** @throws {SyscallError} when this process cannot write to the file or directory */
  assertWritable(path: string): void;
  /** Blocks this thread. */
  sleep(milliseconds: number): void;
}
