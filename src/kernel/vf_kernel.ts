import type { LinkDetails, VfGuids } from "../netlink/rtnl_admin.ts";
import type { Netns } from "./kernel.ts";

export type { LinkDetails, VfGuids };

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

/** An RDMA device with its node GUID. */
export interface RdmaNode {
  readonly index: number;
  readonly name: string;
  /** As the number whose 16 hexadecimal digits people write. */
  readonly nodeGuid: bigint;
}

/** What the commands about virtual functions ask of the kernel and order it to do. Types only. */
export interface VfKernel {
  /** When this boot began, in milliseconds since 1970. */
  getBootedAtMs(): number;
  listPhysicalFunctions(): PhysicalFunction[];
  getFunctionDevices(deviceId: string): FunctionDevices;
  /** The representors of a physical function's virtual functions. */
  listRepresentors(pf: PhysicalFunction): Representor[];
  /** Indexes of the host's links that have an IP address. */
  listAddressedLinks(): ReadonlySet<number>;
  /** The links of a namespace. */
  listLinksIn(netns: Netns): LinkDetails[];
  /** The RDMA devices of a namespace with their node GUIDs. */
  listRdmaNodes(netns: Netns): RdmaNode[];
  /** @throws {NetlinkError} when the driver refuses, or without CAP_NET_ADMIN */
  setVfMac(pf: PhysicalFunction, number: number, mac: string): void;
  /** Sets node and port GUID. @throws {NetlinkError} when the driver refuses, or the port is no InfiniBand port */
  setVfGuid(pf: PhysicalFunction, number: number, guid: bigint): void;
  /** Takes the driver from a PCI function. Several functions can be worked on at once. @throws {SyscallError} */
  unbindDriver(deviceId: string): Promise<void>;
  /**
   * Gives a driver to a PCI function; without name the one that the kernel finds. It comes back when the driver has
   * started, which takes some a second or more. Several functions can be worked on at once.
   *
   * @throws {SyscallError} with the driver's errno when it does not start
   */
  bindDriver(deviceId: string, driver: string | undefined): Promise<void>;
  /** Waits; what else was begun goes on meanwhile. */
  pause(milliseconds: number): Promise<void>;
  /** From now on until disposed of, signals that would end this process do not, and are told instead. */
  holdSignals(): Disposable & { caught(): Promise<string | undefined> };
}
