/** The kernel as the commands ask it and have it work, on top of what the plugin does. Types only. */
import type { Counter, RdmaNode } from "../netlink/nldev.ts";
import type { LinkDetails, VfGuids } from "../netlink/rtnl.ts";
import type { Kernel, Netns, Port, RdmaMode } from "./kernel.ts";

export type { Counter, LinkDetails, RdmaNode, VfGuids };

/** A port with what people and metrics want to know of it. */
export interface PortDetails extends Port {
  /** The rate of its link, if it is known. */
  readonly bitsPerSecond?: number;
  /** The data that went through the port since its driver was bound; absent where the driver does not count it there. */
  readonly traffic?: Traffic;
}

/** Counts of bytes and packets, from the device's point of view. Above 2^53 they are rounded, as in Prometheus. */
export interface Traffic {
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly txPackets: number;
}

/** A netdev of the host namespace whose PCI function has virtual functions or supports them. */
export interface PhysicalFunction {
  /** Name and index of its netdev. */
  readonly name: string;
  readonly index: number;
  /** Its PCI address. */
  readonly deviceId: string;
  readonly isInfiniBand: boolean;
  /** It is set up; it may have no carrier. */
  readonly isEnabled: boolean;
  /** It is up and has a carrier. */
  readonly isUp: boolean;
  readonly mtu?: number;
  readonly address?: string;
  /** The address the hardware came with; absent before kernel 5.6. */
  readonly permanentAddress?: string;
  /** Its enabled virtual functions, by number. */
  readonly vfs: readonly {
    readonly number: number;
    readonly deviceId: string;
    /** The administrative address; all zeros when none was set, and on InfiniBand. */
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
  readonly name: string;
  /** Number of the virtual function. */
  readonly vf: number;
  /** The bridge or other netdev that it is in. */
  readonly uppers: readonly string[];
}

/** The kernel as far as the commands need it, on top of what the plugin does. */
export interface NodeKernel extends Kernel {
  /** Returns the time at which this boot began, in milliseconds since 1970. */
  getBootedAtMs(): number;
  /** @throws {NetlinkError} EBUSY while another network namespace exists, EPERM without CAP_NET_ADMIN */
  setRdmaMode(mode: RdmaMode): void;
  /**
   * Lists the network namespaces other than the initial one, and what keeps each alive, as far as this process can see.
   *
   * @param read reads what the caller wants to know of each, while it is open
   */
  listOtherNetns<T>(read?: (netns: Netns) => T): OtherNetnsList<T>;
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
  /** The representors of a physical function's virtual functions, by its PCI address. */
  listRepresentors(pfDeviceId: string): Representor[];
  /** @throws {NetlinkError} when the driver refuses, or without CAP_NET_ADMIN */
  setVfMac(pf: PhysicalFunction, number: number, mac: string): void;
  /**
   * Sets node and port GUID.
   *
   * @throws {NetlinkError} when the driver refuses, or the port is not an InfiniBand port
   */
  setVfGuid(pf: PhysicalFunction, number: number, guid: bigint): void;
  /** Unbinds the driver of a PCI function. Several can be unbound at once. @throws {SyscallError} */
  unbindDriver(deviceId: string): Promise<void>;
  /**
   * Binds a driver to a PCI function: the named one, else the one that the kernel chooses. Returns when it has
   * started, which can take more than a second. Several can be bound at once.
   *
   * @throws {SyscallError} with the driver's errno when it does not start
   */
  bindDriver(deviceId: string, driver: string | undefined): Promise<void>;
  /** Returns the place where libmnl was found: the name alone for the system's, else a path. @throws {LibmnlMissing} */
  findLibmnl(): string;
  /** Until disposed of, SIGINT, SIGTERM and SIGHUP do not end this process; `caught` returns the first. */
  catchSignals(): Disposable & { caught(): Promise<string | undefined> };
  /** Waits without blocking what else is in progress. */
  delay(milliseconds: number): Promise<void>;
}

export interface OtherNetnsList<T = unknown> {
  readonly namespaces: readonly OtherNetns<T>[];
  /** All processes of the machine could be examined. Otherwise there may be more namespaces. */
  readonly isComplete: boolean;
}

export interface OtherNetns<T = unknown> {
  /** Its number on nsfs. */
  readonly inode: number;
  /** The facts that were read there; absent where nothing that led to it could be opened. */
  readonly facts?: T;
  /** The paths at which it is mounted; below /proc/PID/root if only another mount namespace has the mount. */
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
