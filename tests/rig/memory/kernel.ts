import type {
  BusDevice,
  IpAddress,
  Kernel,
  LimitedDevice,
  Link,
  Netns,
  OpenPorts,
  Port,
  RdmaCgroups,
  RdmaDevice,
  RdmaLimits,
  RdmaMode,
  ResourceCount,
  RoceQos,
  RoceQosSetting,
  VirtualFunction,
} from "../../../src/kernel/kernel.ts";
import type { Counter, LinkDetails, PortDetails } from "../../../src/kernel/node_kernel.ts";
import { RoceQosError } from "../../../src/kernel/kernel.ts";
import { NetlinkError } from "../../../src/netlink/error.ts";
import {
  EEXIST,
  EINVAL,
  ENODEV,
  ENOTUNIQ,
  EOPNOTSUPP,
  EPROTONOSUPPORT,
  SyscallError,
} from "../../../src/sys/errno.ts";
import { type OpenDirectory, openDirectoryBelow } from "../../../src/sys/files.ts";
import { libc } from "../../../src/sys/libc.ts";
import { NetnsError } from "../../../src/sys/netns.ts";

libc(); // stays open; opened within a test it would be taken for a leak of that test

export interface Space {
  readonly inode: number;
  readonly cookie?: string;
  readonly links: Map<string, Link & Partial<LinkDetails>>;
  /** IP addresses of links, by the links' indexes. */
  addresses?: Map<number, IpAddress[]>;
}

/** An RDMA device and where it is. */
export interface Device {
  readonly index: number;
  name: string;
  space: Space;
  readonly deviceId: string;
  uverbs?: string;
  readonly parent?: string;
  readonly resources?: ResourceCount[];
  /** What does not show the device at the moment, since the kernel is moving, making or removing it. */
  hiddenFrom?: readonly ("sysfs" | "uverbs" | "netlink")[];
  /** A value for each port; what is absent the driver lacks. */
  readonly qos?: { trafficClass?: number[]; tos?: number[] };
  /** With all of their GIDs. */
  ports: PortDetails[];
  /** The hardware counters of each port; undefined where the driver has none. */
  counters?: Counter[];
  readonly netdev?: { readonly space: Space; readonly name: string };
}

/** A RoCE port that is active and has no address. */
export const PORT: Port = {
  number: 1,
  state: "4: ACTIVE",
  isActive: true,
  isRoce: true,
  gids: [],
  hasMoreGids: false,
};

type BusEntry = Pick<BusDevice, "bus" | "driver" | "isPhysicalFunction" | "enabledVfs">;

/** Behaves as Linux 6.12 does, until a test makes it fail: see tests/support/kernel_facts.ts, which is asked of both. */
export class MemoryKernel implements Kernel {
  bootId = "boot-1";
  mode: RdmaMode = "exclusive";
  hasRdma = true;
  /** Module ib_uverbs, which the kernel loads when somebody asks for a uverbs device. */
  hasUverbs = true;
  bootTimeUs = 1_000_000;
  readonly host: Space = { inode: 1, cookie: "1", links: new Map() };
  /** Paths to namespaces. One may come to lead elsewhere. */
  readonly paths = new Map<string, Space>([["/proc/1/ns/net", this.host]]);
  /** Namespaces that processes hold, by their paths below /proc. */
  readonly held = new Map<string, Space>();
  readonly devices: Device[] = [];
  readonly bus = new Map<string, BusEntry>();
  readonly virtualFunctions: VirtualFunction[] = [];
  readonly locked = new Set<string>();
  readonly roceQos = new MemoryRoceQos(this);
  rdmaCgroups: MemoryRdmaCgroups | undefined = new MemoryRdmaCgroups(this);
  root = "/nonexistent";
  writable = true;
  /** With what errno the kernel refuses to mount a sysfs. */
  sysfsErrno: number | undefined;
  // What runs before something is done; a number is the errno that the kernel refuses with.
  onMove: (device: Device) => number | void = () => {};
  onRename: (device: Device, name: string) => void = () => {};
  onSoftRoce: (name: string) => number | void = () => {};
  onSoftRoceRemoval: (device: Device) => number | void = () => {};
  /** Names are unique in each namespace only, and Soft-RoCE devices can be moved: Linux 7.3. */
  namesPerNetns = false;
  hasRxe = true;
  /** Runs at each sleep; no time passes otherwise. */
  onSleep: () => void = () => {};
  sleptMs = 0;
  listings = 0;
  /** Devices that the next list does not have, since another left while it was made. */
  readonly missedByList = new Set<Device>();
  /** Namespaces and locks that were opened and not disposed of. */
  readonly open = new Set<object>();
  #namespaces = 0;
  readonly #hostNetns = new MemoryNetns(this, "/proc/thread-self/ns/net", this.host);

  getBootId = () => this.bootId;
  getBootTimeUs = () => ++this.bootTimeUs;
  getHostNetns = () => this.#hostNetns;
  isHostNetns = (path: string) => this.paths.get(path) === this.host;
  listVirtualFunctions = () => this.virtualFunctions;
  getRdmaCgroups = () => this.rdmaCgroups;
  findLockHolder = (_path: string, ownPid: number) => ownPid;

  /** Makes a namespace at a path; with an inode of its own unless one is used again. */
  addNetns(
    path: string,
    inode = 4026532000 + ++this.#namespaces,
    cookie = `${1000 + this.#namespaces}`,
  ): Space {
    const space = { inode, ...(cookie === "" ? {} : { cookie }), links: new Map() };
    this.paths.set(path, space);
    return space;
  }

  /** What the kernel does when the last holder of a namespace has gone. */
  endNetns(space: Space): void {
    for (const device of this.devices.filter(({ netdev }) => netdev?.space === space)) this.remove(device);
    for (const device of this.devices.filter((device) => device.space === space)) {
      if (this.isTaken(device.name, this.host, device)) device.name = `ibdev${device.index}`;
      this.place(device, this.host);
    }
  }

  remove(device: Device): void {
    for (const limits of this.rdmaCgroups?.groups.values() ?? []) limits?.delete(device);
    this.devices.splice(this.devices.indexOf(device), 1);
  }

  /** Puts a device into a namespace: its ToS is 0 then, and its IPoIB interfaces are gone, wherever they were. */
  place(device: Device, space: Space): void {
    device.space = space;
    device.qos?.tos?.fill(0);
    for (const { links } of [this.host, ...this.paths.values(), ...this.held.values()]) {
      for (const [name, { isInfiniBand, parentDevice }] of links) {
        if (isInfiniBand && parentDevice === device.deviceId) links.delete(name);
      }
    }
  }

  /** Whether a name cannot be given in a namespace. */
  isTaken(name: string, space: Space, except?: Device): boolean {
    return this.devices.some((other) =>
      other !== except && other.name === name && (!this.namesPerNetns || other.space === space)
    );
  }

  addFunction(deviceId: string, entry: Partial<BusEntry> = {}): void {
    const bus = deviceId.startsWith("0000:") ? "pci" : "auxiliary";
    this.bus.set(deviceId, { bus, driver: "mlx5_core", isPhysicalFunction: false, enabledVfs: 0, ...entry });
  }

  addDevice(deviceId: string, index: number, more: Partial<Device> = {}): Device {
    const device = {
      index,
      name: `mlx5_${index}`,
      space: this.host,
      deviceId,
      uverbs: `uverbs${index}`,
      ports: [PORT],
      ...more,
    };
    this.devices.push(device);
    return device;
  }

  openNetns(path: string): Netns {
    const space = this.paths.get(path) ?? this.held.get(path);
    if (!space) throw new NetnsError(path, "missing", undefined);
    const netns = new MemoryNetns(this, path, space);
    this.open.add(netns);
    return netns;
  }

  *listNetns(): Generator<{ path: string; inode: number }> {
    yield { path: "/proc/1/ns/net", inode: this.host.inode };
    for (const [path, { inode }] of this.held) yield { path, inode };
  }

  getRdmaMode(): RdmaMode {
    this.assertRdma();
    return this.mode;
  }

  getBusDevice(id: string): BusDevice | undefined {
    const entry = this.bus.get(id);
    if (!entry) return undefined;
    const own = this.devices.filter(({ deviceId }) => deviceId === id);
    return {
      id,
      ...entry,
      rdmaDevices: own.filter((device) => device.space === this.host && !isHidden(device, "sysfs"))
        .map(({ name }) => name),
      rdmaDeviceCount: own.length,
      uverbs: own.filter((device) => this.hasUverbs && !isHidden(device, "uverbs"))
        .flatMap(({ uverbs, name }) => uverbs ? [{ name: uverbs, rdmaDevice: name }] : []),
    };
  }

  listDeviceNames(): string[] {
    return this.devices.filter(({ uverbs }) => uverbs && this.hasUverbs).map(({ name }) => name);
  }

  openDirectoryBelow(base: string, names: readonly string[], make: boolean): OpenDirectory {
    const directory = openDirectoryBelow(`${this.root}${base}`, names, make);
    return this.keepOpen({ path: directory.path }, () => directory[Symbol.dispose]());
  }

  lock(path: string, timeoutMs: number): Disposable | undefined {
    Deno.statSync(path);
    for (let waitedMs = 0; this.locked.has(path); waitedMs += 10) {
      if (waitedMs >= timeoutMs) return undefined;
      this.sleep(10);
    }
    this.locked.add(path);
    return this.keepOpen({}, () => this.locked.delete(path));
  }

  /** Something that is open until it is disposed of. */
  keepOpen<T extends object>(what: T, close: () => void = () => {}): T & Disposable {
    const kept = {
      ...what,
      [Symbol.dispose]: () => {
        close();
        this.open.delete(kept);
      },
    };
    this.open.add(kept);
    return kept;
  }

  assertWritable(path: string): void {
    if (!this.writable) throw new SyscallError(`write to ${JSON.stringify(path)}`, 30);
  }

  sleep(milliseconds: number): void {
    this.sleptMs += milliseconds;
    this.bootTimeUs += milliseconds * 1000;
    this.onSleep();
  }

  assertRdma(): void {
    if (!this.hasRdma) throw new SyscallError("open a netlink socket (protocol 20)", EPROTONOSUPPORT);
  }
}

export function listPorts({ ports }: Device, gidLimit: number): PortDetails[] {
  return ports.map((port) => ({
    ...port,
    gids: port.gids.filter(({ index }) => index < gidLimit),
    hasMoreGids: port.gids.some(({ index }) => index >= gidLimit),
  }));
}

function shown({ index, name, parent }: Device): RdmaDevice {
  return { index, name, ...(parent ? { parent } : {}) };
}

function isHidden({ hiddenFrom }: Device, view: "sysfs" | "uverbs" | "netlink"): boolean {
  return hiddenFrom?.includes(view) ?? false;
}

export class MemoryNetns implements Netns {
  readonly fd = 0;
  readonly inode: number;
  getLink = (name: string) => this.space.links.get(name);
  listAddresses = (link: number) => this.space.addresses?.get(link) ?? [];
  listResources = (index: number) => this.#find("ask for resources", index).resources ?? [];

  constructor(readonly kernel: MemoryKernel, readonly path: string, readonly space: Space) {
    this.inode = space.inode;
  }

  getCookie(): string | undefined {
    this.kernel.assertRdma();
    return this.space.cookie;
  }

  [Symbol.dispose](): void {
    this.kernel.open.delete(this);
  }

  listRdmaDevices(): RdmaDevice[] {
    this.kernel.listings++;
    const missed = [...this.kernel.missedByList].map(({ index }) => index);
    this.kernel.missedByList.clear();
    return this.#visible().filter(({ index }) => !missed.includes(index)).map(shown);
  }

  #visible(): Device[] {
    this.kernel.assertRdma();
    const { mode, devices } = this.kernel;
    return devices.filter((device) => {
      return (mode === "shared" || device.space === this.space) && !isHidden(device, "netlink");
    });
  }

  getRdmaDevice(index: number): RdmaDevice | undefined {
    return this.#visible().filter((device) => device.index === index).map(shown)[0];
  }

  moveRdmaDevice(index: number, to: Netns, name?: string): void {
    if (name !== undefined && !this.kernel.namesPerNetns) this.renameRdmaDevice(index, name);
    const device = this.#find(`move RDMA device ${index}`, index);
    const target = (to as MemoryNetns).space;
    if (target === this.space) {
      throw new Error(`Device ${device.name} is there already: the kernel would reset it`);
    }
    const isMovable = this.kernel.mode === "exclusive" && (this.kernel.namesPerNetns || !device.netdev);
    const errno = isMovable ? this.kernel.onMove(device) : EOPNOTSUPP;
    if (errno) throw new NetlinkError(`move RDMA device ${index}`, errno);
    if (this.kernel.isTaken(name ?? device.name, target, device)) {
      throw new NetlinkError(`move RDMA device ${index}`, EEXIST);
    }
    if (name !== undefined) device.name = name;
    this.kernel.place(device, target);
  }

  renameRdmaDevice(index: number, name: string): void {
    const what = `rename RDMA device ${index} to ${JSON.stringify(name)}`;
    const device = this.#find(what, index);
    this.kernel.onRename(device, name);
    if (this.kernel.isTaken(name, this.space, device)) throw new NetlinkError(what, EEXIST);
    device.name = name;
  }

  addSoftRoceDevice(name: string, netdev: string): void {
    const { devices, hasRxe, host } = this.kernel;
    const has = devices.some(({ netdev: own }) => own?.space === this.space && own.name === netdev);
    const errno = !this.space.links.has(netdev)
      ? ENODEV
      : !hasRxe
      ? EINVAL
      : has
      ? EEXIST
      : this.kernel.onSoftRoce(name);
    if (errno) throw new NetlinkError(`make Soft-RoCE device ${JSON.stringify(name)}`, errno);
    const index = Math.max(100, ...devices.map((device) => device.index + 1));
    const uverbs = `uverbs${index}`;
    devices.push({
      ports: [PORT],
      ...{ index, name, uverbs, space: host, deviceId: "" },
      netdev: { space: this.space, name: netdev },
    });
  }

  removeSoftRoceDevice(index: number): void {
    const what = `remove Soft-RoCE device ${index}`;
    const device = this.#find(what, index);
    const errno = device.netdev ? this.kernel.onSoftRoceRemoval(device) : EINVAL;
    if (errno) throw new NetlinkError(what, errno);
    this.kernel.remove(device);
  }

  getUverbs(index: number): string | undefined {
    this.kernel.hasUverbs = true;
    return this.#visible().find((device) => device.index === index)?.uverbs;
  }

  getNetdev(index: number): string | undefined {
    const netdev = this.#visible().find((device) => device.index === index)?.netdev;
    return netdev?.space === this.space ? netdev.name : undefined;
  }

  openPorts(name: string): OpenPorts | undefined {
    const device = this.inSysfs(name);
    if (!device) return undefined;
    return this.kernel.keepOpen({ list: (gidLimit: number) => listPorts(device, gidLimit) });
  }

  /** The device that a sysfs of this namespace shows under a name. */
  inSysfs(name: string): Device | undefined {
    const { kernel, space } = this;
    if (space !== kernel.host && kernel.sysfsErrno !== undefined) {
      throw new SyscallError("mount a sysfs: fsopen", kernel.sysfsErrno);
    }
    return this.#visible().find((device) => device.name === name && !isHidden(device, "sysfs"));
  }

  #find(what: string, index: number): Device {
    const device = this.#visible().find((device) => device.index === index);
    if (!device) throw new NetlinkError(what, EINVAL);
    return device;
  }
}

class MemoryRoceQos implements RoceQos {
  readonly groups = new Set<string>();
  hasGroup = (name: string) => this.groups.has(name);
  removeGroup = (name: string) => void this.groups.delete(name);
  /** Runs before each write; true refuses. */
  onWrite: (setting: RoceQosSetting, device: Device) => boolean | void = () => {};

  constructor(readonly kernel: MemoryKernel) {}

  read(setting: RoceQosSetting, name: string): number[] {
    return [...this.#values(setting, this.#find(setting, name))];
  }

  write(setting: RoceQosSetting, name: string, value: number | readonly number[]): void {
    const device = this.#find(setting, name);
    const values = this.#values(setting, device);
    if (this.onWrite(setting, device)) throw qosFailure(setting, name, "it is refused");
    for (const port of values.keys()) {
      values[port] = typeof value === "number" ? value : value[port] ?? values[port]!;
    }
  }

  #find(setting: RoceQosSetting, name: string): Device {
    const { devices, host } = this.kernel;
    const found = devices.find((device) =>
      device.name === name && (setting === "tos" || device.space === host)
    );
    if (!found) throw qosFailure(setting, name, "there is no such device");
    return found;
  }

  #values(setting: RoceQosSetting, { qos, name }: Device): number[] {
    const values = qos?.[setting];
    if (!values) throw qosFailure(setting, name, "it is not there");
    return values;
  }
}

class MemoryRdmaCgroups implements RdmaCgroups {
  readonly mount = "/sys/fs/cgroup";
  /** The limits of devices in each cgroup; undefined where the parent does not enable the controller. */
  readonly groups = new Map<string, Map<Device, RdmaLimits> | undefined>();
  readonly processes = new Map<number, string>();
  ofProcess = (pid: number) => this.processes.get(pid);
  has = (cgroup: string) => this.groups.has(cgroup);
  hasLimits = (cgroup: string) => this.groups.get(cgroup) !== undefined;
  /** Runs before each write; a number is the errno that the kernel refuses with. */
  onWrite: (device: Device, limits: RdmaLimits) => number | void = () => {};

  constructor(readonly kernel: MemoryKernel) {}

  list(cgroup: string): LimitedDevice[] {
    const limits = this.groups.get(cgroup);
    if (!limits) return [];
    const { devices } = this.kernel;
    return devices.map((device): LimitedDevice => ({
      name: device.name,
      ...(devices.filter(({ name }) => name === device.name).length > 1 ? { index: device.index } : {}),
      ...{ hcaHandle: "max", hcaObject: "max", ...limits.get(device) },
    }));
  }

  read(cgroup: string, { index }: RdmaDevice): RdmaLimits | undefined {
    const device = this.kernel.devices.find((device) => device.index === index);
    const limits = this.groups.get(cgroup);
    return device && limits && { hcaHandle: "max", hcaObject: "max", ...limits.get(device) };
  }

  write(cgroup: string, { index, name }: Pick<LimitedDevice, "name" | "index">, limits: RdmaLimits): void {
    const named = this.kernel.devices.filter((device) =>
      device.name === name && (index ?? device.index) === device.index
    );
    const [device] = named;
    const errno = !device ? ENODEV : named.length > 1 ? ENOTUNIQ : this.onWrite(device, limits);
    if (errno) throw new SyscallError(`write ${name} to rdma.max`, errno);
    const { hcaHandle = "max", hcaObject = "max" } = { ...this.read(cgroup, device!), ...limits };
    if (hcaHandle === "max" && hcaObject === "max") this.groups.get(cgroup)?.delete(device!);
    else this.groups.get(cgroup)?.set(device!, { hcaHandle, hcaObject });
  }
}

function qosFailure(setting: RoceQosSetting, name: string, reason: string): RoceQosError {
  return new RoceQosError(`Cannot use the ${setting} of ${name}: ${reason}`, `take ${setting} out`, {});
}
