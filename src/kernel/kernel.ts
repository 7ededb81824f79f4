/**
 * What this program asks of the kernel and has it do. Types only: `linux.ts` is the kernel of this machine,
 * and the tests have one in memory.
 */
import type { Counter, RdmaDevice, RdmaNode, ResourceCount } from "../netlink/nldev.ts";
import type { Link, LinkDetails, VfGuids } from "../netlink/rtnl.ts";
import type { OpenDirectory } from "../sys/files.ts";

export type { Counter, Link, LinkDetails, RdmaDevice, RdmaNode, ResourceCount, VfGuids };

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
  /**
   * The uverbs character device of an RDMA device ("uverbs3"), or undefined when it has none or is elsewhere.
   */
  getUverbs(index: number): string | undefined;
  /** How many objects of each kind processes have on a device. */
  listResources(index: number): ResourceCount[];
  /** A link by name, or undefined. */
  getLink(name: string): Link | undefined;
  /** The IP addresses of a link. */
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

/** A port with what people and metrics want to know of it. */
export interface PortDetails extends Port {
  /** The rate of its link, if it is known. */
  readonly bitsPerSecond?: number;
  /** What went through the port since its driver was bound; absent where the driver does not count it there. */
  readonly traffic?: Traffic;
}

/** Counts of bytes and packets, from the device's point of view. Above 2^53 they are rounded, as in Prometheus. */
export interface Traffic {
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly txPackets: number;
}

/** A device on the PCI or auxiliary bus, as the host's sysfs shows it. */
export interface BusDevice {
  readonly id: string;
  readonly bus: "pci" | "auxiliary";
  readonly driver?: string;
  /** A PCI function that is not a virtual function: the host may depend on it. */
  readonly isPhysicalFunction: boolean;
  /** How many virtual functions it has enabled. */
  readonly enabledVfs: number;
  /** Names of its RDMA devices in the host namespace. */
  readonly rdmaDevices: readonly string[];
  /**
   * How many RDMA devices it has in all namespaces, including those that the kernel is moving. In shared mode
   * a device counts once for each namespace.
   */
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
  /** Whether configfs has a group for the device. Access to the ToS creates one temporarily. */
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

/**
 * The cgroups that limit RDMA resources. A cgroup is named by its path in the hierarchy, as in /proc/PID/cgroup. Its
 * limits of a device stay when the device is moved or renamed.
 */
export interface RdmaCgroups {
  /** Where the hierarchy is mounted. */
  readonly mount: string;
  /** The cgroup of a process; undefined when the process has ended. */
  ofProcess(pid: number): string | undefined;
  /** Whether a cgroup is there; false for the root, and for paths that lead out of the hierarchy. */
  has(cgroup: string): boolean;
  /** Whether a cgroup can have limits. In version 2 that takes the rdma controller in its parent's cgroup.subtree_control. */
  hasLimits(cgroup: string): boolean;
  /** The limits of a device, in whatever namespace that is; undefined when cgroup or device are not there. */
  read(cgroup: string, device: RdmaDevice): RdmaLimits | undefined;
  /**
   * Sets limits of a device, in whatever namespace that is. Does nothing when the cgroup is not there.
   *
   * @throws {SyscallError} ENODEV when no device has the name
   */
  write(cgroup: string, device: RdmaDevice, limits: RdmaLimits): void;
}

/** What the plugin needs of the kernel. */
export interface Kernel {
  /** Identifies this boot; indexes, inodes and cookies mean nothing in another one. */
  getBootId(): string;
  /**
   * Microseconds since this boot began (CLOCK_BOOTTIME, which cannot be set). Increases from call to call.
   */
  getBootTimeUs(): number;
  /**
   * The namespace that the plugin runs in. Opened at the first call, and open as long as this process lives.
   */
  getHostNetns(): Netns;
  /** @throws {NetnsError} when the path is missing or not a network namespace */
  openNetns(path: string): Netns;
  /** Whether a path leads to the host namespace; false when it leads nowhere. */
  isHostNetns(path: string): boolean;
  /** Paths below /proc to the namespaces that processes or open files keep alive; each namespace once. */
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
  openDirectory(base: string, names: readonly string[], make: boolean): OpenDirectory;
  /**
   * Takes the exclusive lock on a file or directory. Blocks this thread while another process has it; those who wait
   * get it in the order in which they came. It ends with the process, however that ends.
   *
   * @returns undefined when the time is over
   * @throws {SyscallError}
   */
  lock(path: string, timeoutMs: number): Disposable | undefined;
  /** @throws {SyscallError} when this process cannot write to the file or directory */
  assertWritable(path: string): void;
  /** Blocks this thread. */
  sleep(milliseconds: number): void;
}

/** A netdev of the host namespace whose PCI function has virtual functions or supports them. */
export interface PhysicalFunction {
  /** The name of its netdev. */
  readonly name: string;
  /** The index of its netdev. */
  readonly index: number;
  /** Its PCI address. */
  readonly deviceId: string;
  readonly isInfiniBand: boolean;
  /** It is up and has a carrier. */
  readonly isUp: boolean;
  readonly address?: string;
  /** The address the hardware came with; absent before kernel 5.6. */
  readonly permanentAddress?: string;
  /** Its enabled virtual functions, by number. */
  readonly vfs: readonly {
    readonly number: number;
    readonly deviceId: string;
    /**
     * The administrative address; all zeros when none was set, and on InfiniBand, which has GUIDs instead.
     */
    readonly mac: string;
    /** The administrative GUIDs; only on InfiniBand, and only if the driver shows them. */
    readonly guids?: VfGuids;
  }[];
}

/** A netdev of the host namespace. */
export interface Netdev {
  readonly name: string;
  readonly index: number;
  /** It is up and has a carrier. */
  readonly isUp: boolean;
  /** Netdevs on top of it in the same namespace: its bond, bridge or team, VLANs, macvlans. */
  readonly uppers: readonly string[];
  readonly address: string;
  /** The driver made up the address (addr_assign_type NET_ADDR_RANDOM), so it changes at a reboot. */
  readonly isRandom: boolean;
  /** The address came from the hardware or its configuration (NET_ADDR_PERM). */
  readonly isPermanent: boolean;
}

/** The devices that the driver of a PCI function made, as far as the host's sysfs shows them. */
export interface FunctionDevices {
  readonly netdevs: readonly Netdev[];
  /** It has a netdev, in another namespace. */
  readonly isNetdevAway: boolean;
  /** It has an RDMA device, in another namespace. */
  readonly isRdmaAway: boolean;
  /** Names of its vDPA devices. */
  readonly vdpaDevices: readonly string[];
}

/** The netdev that represents a virtual function on the side of the physical function, in switchdev mode. */
export interface Representor {
  /** Name of the netdev. */
  readonly name: string;
  /** Number of the virtual function. */
  readonly vf: number;
  /** The bridge or other netdev that it is in. */
  readonly uppers: readonly string[];
}

/** What the commands need of the kernel on top of what the plugin does. */
export interface NodeKernel extends Kernel {
  /** When this boot began, in milliseconds since 1970. */
  getBootedAtMs(): number;
  /** @throws {NetlinkError} EBUSY while another network namespace exists, EPERM without CAP_NET_ADMIN */
  setRdmaMode(mode: RdmaMode): void;
  /**
   * The network namespaces other than the initial one, and what keeps each alive, as far as this process can
   * see.
   */
  listOtherNetns(): OtherNetnsList;
  /** The links of a namespace. */
  listLinks(netns: Netns): LinkDetails[];
  /** Indexes of the host's links that have an IP address. */
  listAddressedLinks(): ReadonlySet<number>;
  /** The RDMA devices of a namespace with their node GUIDs. */
  listRdmaNodes(netns: Netns): RdmaNode[];
  /**
   * The ports of an RDMA device of a namespace, by its name; none when it is not there.
   *
   * @param gidLimit how many entries of a RoCE port's GID table to read; of an InfiniBand port's the first is read
   * @throws {SyscallError} where no sysfs of the namespace can be mounted
   */
  listPortDetails(netns: Netns, name: string, gidLimit: number): PortDetails[];
  /** The hardware counters of a port; none when the driver has none, or the device is not in the namespace. */
  listCounters(netns: Netns, index: number, port: number): Counter[];
  listPhysicalFunctions(): PhysicalFunction[];
  getFunctionDevices(deviceId: string): FunctionDevices;
  /** The representors of a physical function's virtual functions. */
  listRepresentors(pf: PhysicalFunction): Representor[];
  /** @throws {NetlinkError} when the driver refuses, or without CAP_NET_ADMIN */
  setVfMac(pf: PhysicalFunction, number: number, mac: string): void;
  /**
   * Sets node and port GUID.
   *
   * @throws {NetlinkError} when the driver refuses, or the port is not an InfiniBand port
   */
  setVfGuid(pf: PhysicalFunction, number: number, guid: bigint): void;
  /**
   * Unbinds the driver of a PCI function. Several functions can be unbound at once.
   *
   * @throws {SyscallError}
   */
  unbindDriver(deviceId: string): Promise<void>;
  /**
   * Binds a driver to a PCI function: the named one, else the one that the kernel chooses. Returns when the
   * driver has started, which can take more than a second. Several functions can be bound at once.
   *
   * @throws {SyscallError} with the driver's errno when it does not start
   */
  bindDriver(deviceId: string, driver: string | undefined): Promise<void>;
  /** Where libmnl was found: the name alone for the system's, else a path. @throws {LibmnlMissing} */
  findLibmnl(): string;
  /**
   * Until disposed of, SIGINT, SIGTERM and SIGHUP do not end this process; `caught` returns the first one.
   */
  catchSignals(): Disposable & { caught(): Promise<string | undefined> };
  /** Waits without blocking what else is in progress. */
  delay(milliseconds: number): Promise<void>;
}

export interface OtherNetnsList {
  readonly namespaces: readonly OtherNetns[];
  /** All processes of the machine could be examined. Otherwise there may be more namespaces. */
  readonly isComplete: boolean;
}

export interface OtherNetns {
  /** Its number on nsfs. */
  readonly inode: number;
  /** Where it is mounted; below /proc/PID/root if only another mount namespace has the mount. */
  readonly paths: readonly string[];
  /** The processes in it, and those that have it open. */
  readonly processes: readonly NetnsProcess[];
}

export interface NetnsProcess {
  readonly pid: number;
  /** Its command line; if that is empty, the kernel's name for it in brackets. */
  readonly command: string;
  /** The container that its cgroup is named after. */
  readonly containerId?: string;
  /** True: it only has the namespace open. False: it or one of its threads is in the namespace. */
  readonly onlyOpen: boolean;
}
