import { NETLINK_RDMA, NETLINK_ROUTE, NetlinkSocket } from "../netlink/socket.ts";
import { findLibmnl, findLibmnlFile } from "../netlink/libmnl.ts";
import { EAGAIN, SyscallError } from "../sys/errno.ts";
import { openForReading } from "../sys/fd.ts";
import { assertWritable, type OpenDirectory, openDirectory } from "../sys/files.ts";
import { check } from "../sys/libc.ts";
import { getHostNetns, inNetns, isHostNetns, listNetns, type OpenNetns, openNetns } from "../sys/netns.ts";
import { holdSignals } from "../sys/signals.ts";
import * as sysfs from "./functions.ts";
import type {
  AdminKernel,
  FunctionDevices,
  Kernel,
  Link,
  LinkDetails,
  Netns,
  OtherNetnsList,
  PhysicalFunction,
  RdmaDevice,
  RdmaMode,
  RdmaNode,
  Representor,
  ResourceCount,
  VfKernel,
  VirtualFunction,
} from "./kernel.ts";
import * as vf from "./links.ts";
import { getLink, listVirtualFunctions } from "./links.ts";
import { listOtherNetns } from "./processes.ts";
import { LinuxRoceQos } from "./qos.ts";
import * as rdma from "./rdma.ts";
import { setMode } from "./rdma.ts";
import { getBusDevice } from "./sysfs.ts";

/** uapi linux/file.h. */
const LOCK_EX = 2;
const LOCK_NB = 4;

/** The kernel this process runs on. */
export class LinuxKernel implements Kernel {
  readonly roceQos = new LinuxRoceQos();
  #hostNetns: LinuxNetns | undefined;
  #bootId: string | undefined;

  getBootId(): string {
    return this.#bootId ??= Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
  }

  getBootTimeUs(): number {
    return getBootTimeUs();
  }

  getHostNetns(): LinuxNetns {
    return this.#hostNetns ??= new LinuxNetns(getHostNetns());
  }

  openNetns(path: string): Netns {
    return new LinuxNetns(openNetns(path));
  }

  isHostNetns(path: string): boolean {
    return isHostNetns(path);
  }

  listNetns(): ReturnType<Kernel["listNetns"]> {
    return listNetns();
  }

  getRdmaMode(): ReturnType<Kernel["getRdmaMode"]> {
    return rdma.getMode(this.getHostNetns().socket(NETLINK_RDMA));
  }

  listVirtualFunctions(): VirtualFunction[] {
    return listVirtualFunctions(this.getHostNetns().socket(NETLINK_ROUTE));
  }

  getBusDevice(id: string): ReturnType<Kernel["getBusDevice"]> {
    return getBusDevice(id);
  }

  openDirectory(base: string, names: readonly string[], make: boolean): OpenDirectory {
    return openDirectory(base, names, make);
  }

  tryLock(path: string): Disposable | undefined {
    const file = openForReading(path);
    try {
      check(`lock ${JSON.stringify(path)}`, (c) => c.flock(file.number, LOCK_EX | LOCK_NB));
      return file;
    } catch (error) {
      file[Symbol.dispose]();
      if (error instanceof SyscallError && error.errno === EAGAIN) return undefined;
      throw error;
    }
  }

  assertWritable(path: string): void {
    assertWritable(path);
  }

  sleep(milliseconds: number): void {
    sleep(milliseconds);
  }
}

/** An open namespace with a socket for each netlink family that was asked there. */
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
    for (const socket of this.#sockets.values()) socket[Symbol.dispose]();
    this.#sockets.clear();
    this.#netns[Symbol.dispose]();
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

  moveRdmaDevice(index: number, to: Netns): void {
    const socket = this.socket(NETLINK_RDMA);
    inNetns(this.#netns, () => rdma.moveDevice(socket, index, to.fd));
  }

  renameRdmaDevice(index: number, name: string): void {
    rdma.renameDevice(this.socket(NETLINK_RDMA), index, name);
  }

  getUverbs(index: number): string | undefined {
    return rdma.getUverbs(this.socket(NETLINK_RDMA), index);
  }

  listResources(index: number): ResourceCount[] {
    return rdma.listResources(this.socket(NETLINK_RDMA), index);
  }

  getLink(name: string): Link | undefined {
    return getLink(this.socket(NETLINK_ROUTE), name);
  }
}

/** The kernel this process runs on, for the commands. A module of its own, so that CNI calls do not load it. */
export class LinuxAdminKernel extends LinuxKernel implements AdminKernel {
  setRdmaMode(mode: RdmaMode): void {
    setMode(this.getHostNetns().socket(NETLINK_RDMA), mode);
  }

  listOtherNetns(): OtherNetnsList {
    return listOtherNetns();
  }

  findLibmnl(): string {
    return findLibmnl();
  }

  findLibmnlFile(): string {
    return findLibmnlFile();
  }

  getBootedAtMs(): number {
    return Date.now() - Deno.osUptime() * 1000;
  }

  listPhysicalFunctions(): PhysicalFunction[] {
    return vf.listPhysicalFunctions(this.getHostNetns());
  }

  getFunctionDevices(deviceId: string): FunctionDevices {
    return sysfs.getFunctionDevices(deviceId);
  }

  listRepresentors(pf: PhysicalFunction): Representor[] {
    return sysfs.listRepresentors(pf.deviceId);
  }

  listAddressedLinks(): ReadonlySet<number> {
    return vf.listAddressedLinks(this.getHostNetns());
  }

  listLinksIn(netns: Netns): LinkDetails[] {
    return vf.listLinksIn(netns);
  }

  listRdmaNodes(netns: Netns): RdmaNode[] {
    return vf.listRdmaNodes(netns);
  }

  setVfMac(pf: PhysicalFunction, number: number, mac: string): void {
    vf.setVfMac(this.getHostNetns(), pf, number, mac);
  }

  setVfGuid(pf: PhysicalFunction, number: number, guid: bigint): void {
    vf.setVfGuid(this.getHostNetns(), pf, number, guid);
  }

  async unbindDriver(deviceId: string): Promise<void> {
    await sysfs.unbindDriver(deviceId);
  }

  async bindDriver(deviceId: string, driver: string | undefined): Promise<void> {
    await sysfs.bindDriver(deviceId, driver);
  }

  async pause(milliseconds: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  holdSignals(): ReturnType<VfKernel["holdSignals"]> {
    return holdSignals();
  }
}

/** uapi linux/time.h: counts from the start of the kernel, also while the machine sleeps, and cannot be set. */
const CLOCK_BOOTTIME = 7;

/** Microseconds since the kernel started. */
export function getBootTimeUs(): number {
  const time = new BigInt64Array(2); // struct timespec: seconds, nanoseconds
  check("read the time since boot", (c) => c.clock_gettime(CLOCK_BOOTTIME, time));
  const [seconds = 0n, nanoseconds = 0n] = time;
  return Number(seconds * 1_000_000n + nanoseconds / 1000n);
}

/** Lets this thread sleep: nothing else of the program runs meanwhile. */
export function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
