/** The kernel of this machine: netlink, sysfs and system calls behind the interfaces of `kernel.ts`. */
import { findLibmnl } from "../netlink/libmnl.ts";
import { NETLINK_RDMA, NETLINK_ROUTE, NetlinkSocket } from "../netlink/socket.ts";
import { quietly } from "../sys/errno.ts";
import { assertWritable, openDirectoryBelow } from "../sys/files.ts";
import { check, sleep } from "../sys/libc.ts";
import { findLockHolder, lockExclusively } from "../sys/lock.ts";
import { mountSysfs } from "../sys/mount.ts";
import { getHostNetns, inNetns, isHostNetns, listNetns, type OpenNetns, openNetns } from "../sys/netns.ts";
import { catchSignals } from "../sys/signals.ts";
import type {
  IpAddress,
  Kernel,
  Link,
  Netns,
  OpenPorts,
  RdmaDevice,
  RdmaMode,
  ResourceCount,
  VirtualFunction,
} from "./kernel.ts";
import type {
  Counter,
  LinkDetails,
  NodeKernel,
  OtherNetnsList,
  PhysicalFunction,
  PortDetails,
  RdmaNode,
} from "./node_kernel.ts";
import { findRdmaCgroups } from "./cgroup.ts";
import * as links from "./links.ts";
import { listPortDetails } from "./port_details.ts";
import { openPorts, toIpAddress } from "./ports.ts";
import { listOtherNetns } from "./processes.ts";
import * as pci from "./pci.ts";
import { LinuxRoceQos } from "./qos.ts";
import * as rdma from "./rdma.ts";
import { getBusDevice, listVerbsDevices } from "./sysfs.ts";

/** uapi linux/time.h: counts from the start of the kernel, includes suspend, and cannot be set. */
const CLOCK_BOOTTIME = 7;

/** The kernel as the plugin uses it. */
export class LinuxKernel implements Kernel {
  readonly roceQos = new LinuxRoceQos();
  readonly isHostNetns = isHostNetns;
  readonly listNetns = listNetns;
  readonly getBusDevice = getBusDevice;
  readonly listDeviceNames = () => listVerbsDevices().map(({ name }) => name);
  readonly getRdmaCgroups = findRdmaCgroups;
  readonly openDirectoryBelow = openDirectoryBelow;
  readonly lock = lockExclusively;
  readonly findLockHolder = findLockHolder;
  readonly assertWritable = assertWritable;
  readonly sleep = sleep;
  #hostNetns: LinuxNetns | undefined;
  #bootId: string | undefined;

  getBootId(): string {
    return this.#bootId ??= Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
  }

  getBootTimeUs(): number {
    const time = new BigInt64Array(2); // struct timespec: seconds, nanoseconds
    check("read the time since boot", (c) => c.clock_gettime(CLOCK_BOOTTIME, time));
    const [seconds = 0n, nanoseconds = 0n] = time;
    return Number(seconds * 1_000_000n + nanoseconds / 1000n);
  }

  getHostNetns(): LinuxNetns {
    return this.#hostNetns ??= new LinuxNetns(getHostNetns());
  }

  openNetns(path: string): Netns {
    return new LinuxNetns(openNetns(path));
  }

  /** Closes the sockets that this object has opened. They are opened again when they are needed. */
  closeSockets(): void {
    this.#hostNetns?.closeSockets();
  }

  getRdmaMode(): RdmaMode {
    return rdma.getMode(this.getHostNetns().socket(NETLINK_RDMA));
  }

  listVirtualFunctions(): VirtualFunction[] {
    return links.listVirtualFunctions(this.getHostNetns().socket(NETLINK_ROUTE));
  }
}

/** An open namespace, with a socket for each netlink protocol that was used there. */
class LinuxNetns implements Netns {
  readonly path: string;
  readonly fd: number;
  readonly inode: number;
  readonly #netns: OpenNetns;
  readonly #sockets = new Map<number, NetlinkSocket>();

  constructor(netns: OpenNetns) {
    this.#netns = netns;
    this.path = netns.path;
    this.fd = netns.fd;
    this.inode = netns.inode;
  }

  [Symbol.dispose](): void {
    this.closeSockets();
    this.#netns[Symbol.dispose]();
  }

  closeSockets(): void {
    for (const socket of this.#sockets.values()) socket[Symbol.dispose]();
    this.#sockets.clear();
  }

  getCookie(): string | undefined {
    return this.socket(NETLINK_RDMA).getNetnsCookie();
  }

  socket(protocol: number): NetlinkSocket {
    const open = this.#sockets.get(protocol);
    if (open) return open;
    const socket = inNetns(this.#netns, () => new NetlinkSocket(protocol));
    this.#sockets.set(protocol, socket);
    return socket;
  }

  listRdmaDevices(): RdmaDevice[] {
    return rdma.listDevices(this.socket(NETLINK_RDMA));
  }

  getRdmaDevice(index: number): RdmaDevice | undefined {
    return rdma.getDevice(this.socket(NETLINK_RDMA), index);
  }

  moveRdmaDevice(index: number, to: Netns, name?: string): void {
    const socket = this.socket(NETLINK_RDMA);
    inNetns(this.#netns, () => rdma.moveDevice(socket, index, to.fd, name));
  }

  renameRdmaDevice(index: number, name: string): void {
    rdma.renameDevice(this.socket(NETLINK_RDMA), index, name);
  }

  addSoftRoceDevice(name: string, netdev: string): void {
    const socket = this.socket(NETLINK_RDMA);
    inNetns(this.#netns, () => rdma.addSoftRoceDevice(socket, name, netdev));
  }

  removeSoftRoceDevice(index: number): void {
    rdma.removeSoftRoceDevice(this.socket(NETLINK_RDMA), index);
  }

  getUverbs(index: number): string | undefined {
    return rdma.getUverbs(this.socket(NETLINK_RDMA), index);
  }

  getNetdev(index: number): string | undefined {
    return rdma.getNetdev(this.socket(NETLINK_RDMA), index);
  }

  listResources(index: number): ResourceCount[] {
    return rdma.listResources(this.socket(NETLINK_RDMA), index);
  }

  getLink(name: string): Link | undefined {
    return links.getLink(this.socket(NETLINK_ROUTE), name);
  }

  listAddresses(link: number): IpAddress[] {
    const addresses = links.listAddresses(this.socket(NETLINK_ROUTE));
    return addresses.filter((address) => address.link === link).map(toIpAddress);
  }

  openPorts(name: string): OpenPorts | undefined {
    return this.withSysfs((sysfs) => openPorts(sysfs, name));
  }

  /** Does something with the path of a sysfs that shows this namespace. */
  withSysfs<T>(work: (sysfs: string) => T): T {
    if (this.#netns === getHostNetns()) return work("/sys");
    using sysfs = inNetns(this.#netns, mountSysfs);
    return work(`/proc/self/fd/${sysfs.number}`);
  }
}

/** The kernel as the commands use it. The bundler leaves it out of what CNI calls load. */
export class LinuxNodeKernel extends LinuxKernel implements NodeKernel {
  readonly getFunctionDevices = pci.getFunctionDevices;
  readonly listRepresentors = pci.listRepresentors;
  readonly unbindDriver = pci.unbindDriver;
  readonly bindDriver = pci.bindDriver;
  readonly findLibmnl = findLibmnl;
  readonly catchSignals = catchSignals;

  getBootedAtMs(): number {
    return Date.now() - Deno.osUptime() * 1000;
  }

  setRdmaMode(mode: RdmaMode): void {
    rdma.setMode(this.getHostNetns().socket(NETLINK_RDMA), mode);
  }

  listOtherNetns<T>(read?: (netns: Netns) => T): OtherNetnsList<T> {
    // One that has ended, or may not be opened, is none.
    return listOtherNetns((path) => quietly(() => this.openNetns(path)), read);
  }

  listLinks(netns: LinuxNetns): LinkDetails[] {
    return links.listLinks(netns.socket(NETLINK_ROUTE));
  }

  listAddressedLinks(): ReadonlySet<number> {
    return links.listAddressedLinks(this.getHostNetns().socket(NETLINK_ROUTE));
  }

  listRdmaNodes(netns: LinuxNetns): RdmaNode[] {
    return rdma.listNodes(netns.socket(NETLINK_RDMA));
  }

  listPortDetails(netns: LinuxNetns, name: string, gidLimit: number): PortDetails[] {
    return netns.withSysfs((sysfs) => listPortDetails(sysfs, name, gidLimit));
  }

  listCounters(netns: LinuxNetns, index: number, port: number): Counter[] {
    return rdma.listCounters(netns.socket(NETLINK_RDMA), index, port);
  }

  listPhysicalFunctions(): PhysicalFunction[] {
    return links.listPhysicalFunctions(this.getHostNetns().socket(NETLINK_ROUTE));
  }

  setVfMac(pf: PhysicalFunction, number: number, mac: string): void {
    links.setVfMac(this.getHostNetns().socket(NETLINK_ROUTE), pf, number, mac);
  }

  setVfGuid(pf: PhysicalFunction, number: number, guid: bigint): void {
    links.setVfGuid(this.getHostNetns().socket(NETLINK_ROUTE), pf, number, guid);
  }

  async delay(milliseconds: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
}
