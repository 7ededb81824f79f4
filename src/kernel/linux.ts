import { assertWritable } from "../ffi/access.ts";
import { openForReading } from "../ffi/fd.ts";
import { check } from "../ffi/libc.ts";
import { NETLINK_RDMA, NETLINK_ROUTE } from "../netlink/constants.ts";
import { getBootTimeUs } from "./boot_time.ts";
import { EAGAIN, SyscallError } from "./error.ts";
import { openFolder } from "./folder.ts";
import type {
  Kernel,
  Link,
  Netns,
  OpenFolder,
  RdmaDevice,
  ResourceCount,
  VirtualFunction,
} from "./kernel.ts";
import { getLink, listVirtualFunctions } from "./link.ts";
import { NetlinkSocket } from "./netlink_socket.ts";
import { homeNetns, isHomeNetns, listNetns, type OpenNetns, openNetns, within } from "./netns.ts";
import * as rdma from "./rdma.ts";
import { LinuxRoceQos } from "./roce_qos.ts";
import { sleep } from "./sleep.ts";
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

  get hostNetns(): LinuxNetns {
    return this.#hostNetns ??= new LinuxNetns(homeNetns());
  }

  openNetns(path: string): Netns {
    return new LinuxNetns(openNetns(path));
  }

  isHostNetns(path: string): boolean {
    return isHomeNetns(path);
  }

  listNetns(): ReturnType<Kernel["listNetns"]> {
    return listNetns();
  }

  getRdmaMode(): ReturnType<Kernel["getRdmaMode"]> {
    return rdma.getMode(this.hostNetns.socket(NETLINK_RDMA));
  }

  listVirtualFunctions(): VirtualFunction[] {
    return listVirtualFunctions(this.hostNetns.socket(NETLINK_ROUTE));
  }

  getBusDevice(id: string): ReturnType<Kernel["getBusDevice"]> {
    return getBusDevice(id);
  }

  openFolder(base: string, names: readonly string[], make: boolean): OpenFolder {
    return openFolder(base, names, make);
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
    const socket = within(this.#netns, () => new NetlinkSocket(protocol));
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
    within(this.#netns, () => rdma.moveDevice(socket, index, to.fd));
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
