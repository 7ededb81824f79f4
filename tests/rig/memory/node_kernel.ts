import { NO_MAC } from "../../../src/node/addresses.ts";
import type { Netns, RdmaMode } from "../../../src/kernel/kernel.ts";
import type {
  Counter,
  FunctionDevices,
  LinkDetails,
  NetnsProcess,
  NodeKernel,
  OtherNetns,
  OtherNetnsList,
  PhysicalFunction,
  PortDetails,
  RdmaNode,
  Representor,
  VfGuids,
} from "../../../src/kernel/node_kernel.ts";
import { NetlinkError } from "../../../src/netlink/error.ts";
import { LibmnlMissing } from "../../../src/kernel/kernel.ts";
import { EBUSY, EOPNOTSUPP, SyscallError } from "../../../src/sys/errno.ts";
import { type Device, listPorts, MemoryKernel, type MemoryNetns, type Space } from "./kernel.ts";

const RANDOM_MAC = "8e:11:22:33:44:";

interface MemoryVf {
  readonly pf: string;
  readonly number: number;
  readonly deviceId: string;
  mac: string;
  guids: VfGuids;
  netdev?: MemoryNetdev;
}

interface MemoryNetdev {
  readonly name: string;
  readonly index: number;
  address: string;
  isRandom: boolean;
  isUp: boolean;
  uppers: string[];
  space: Space;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** What goes on in a kernel after an order has been carried out. */
interface Later {
  readonly atMs: number;
  readonly work: () => void;
  /** Somebody waits for it; otherwise no time passes. */
  readonly isAwaited: boolean;
}

/** A kernel in memory for the commands. Its virtual functions behave as those of mlx5 do. */
export class MemoryNodeKernel extends MemoryKernel implements NodeKernel {
  others: OtherNetns[] = [];
  isComplete = true;
  /** Where libmnl is found, if it is. */
  libmnl: string | undefined = "libmnl.so.0";
  /** What the kernel refuses any change of the mode with, if it does. */
  refusal: Error | undefined;
  bootedAtMs = 0;
  readonly pfs: Omit<PhysicalFunction, "vfs">[] = [];
  readonly vfs: MemoryVf[] = [];
  readonly orders: string[] = [];
  /** Runs before each bind; a number is the errno that the driver fails with. */
  onBind: (deviceId: string) => number | void = () => {};
  makes = { netdev: true, rdmaDevice: true };
  bindMs = 0;
  devicesMs = 0;
  /** Whether the driver of a function lets go. */
  onUnbind: (deviceId: string) => number | void = () => {};
  onCounters: (device: Device) => void = () => {};
  readonly addressed = new Set<number>();
  readonly vdpaDevices = new Map<string, string>();
  readonly representors: (Representor & { readonly pf: string })[] = [];
  /** The driver takes the administrative address or GUID. */
  takesMac = true;
  /** What the RDMA driver makes of an address. That of mlx5 puts ff fe in the middle (node_guid_gen_from_mac). */
  makeGuid = (mac: string): bigint => BigInt(`0x${mac.split(":").toSpliced(3, 0, "ff", "fe").join("")}`);
  /** A signal that comes while something is done. */
  signal: string | undefined;
  readonly #guids = new Map<number, bigint>();
  #nextIndex = 100;
  readonly #later: Later[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  getBootedAtMs = () => this.bootedAtMs;
  listAddressedLinks = () => this.addressed;

  setRdmaMode(mode: RdmaMode): void {
    this.assertRdma();
    if (this.refusal) throw this.refusal;
    if (mode === this.mode) return;
    const spaces = [...this.paths.values(), ...this.held.values()];
    if (this.others.length > 0 || spaces.some((space) => space !== this.host)) {
      throw new NetlinkError(`set the RDMA namespace mode to ${mode}`, EBUSY);
    }
    this.mode = mode;
  }

  listOtherNetns<T>(read?: (netns: Netns) => T): OtherNetnsList<T> {
    const found = new Map<number, Writable<OtherNetns<T>>>();
    const add = ({ inode, paths, processes }: OtherNetns, path?: string) => {
      const one = found.get(inode) ?? { inode, paths: [], processes: [] };
      found.set(inode, one);
      one.paths = [...new Set([...one.paths, ...paths])];
      const isNew = ({ pid }: NetnsProcess) => one.processes.every((process) => process.pid !== pid);
      one.processes = [...one.processes, ...processes.filter(isNew)];
      if (!read || path === undefined || "facts" in one) return;
      using netns = this.openNetns(path);
      one.facts = read(netns);
    };
    for (const other of this.others) add(other);
    for (const [path, { inode }] of this.paths) {
      if (inode !== this.host.inode) add({ inode, paths: [path], processes: [] }, path);
    }
    for (const [path, { inode }] of this.held) {
      const [, pid, kind] = /^\/proc\/(\d+)\/(ns|fd)\//.exec(path)!;
      const process = { pid: Number(pid), command: "sleep", onlyOpen: kind === "fd" };
      add({ inode, paths: [], processes: [process] }, path);
    }
    return { namespaces: [...found.values()], isComplete: this.isComplete };
  }

  findLibmnl(): string {
    if (this.libmnl === undefined) throw new LibmnlMissing("Cannot open libmnl: it is not there");
    return this.libmnl;
  }

  /** An adapter's physical function with virtual functions, whose drivers are bound. */
  addPf(name: string, vfCount: number, more: Partial<PhysicalFunction> = {}): void {
    const bus = (0x3b + this.pfs.length).toString(16);
    const address = `b8:59:9f:00:00:0${this.pfs.length + 1}`;
    const deviceId = `0000:${bus}:00.0`;
    const state = { isInfiniBand: false, isEnabled: true, isUp: true };
    const index = 2 + this.pfs.length;
    this.pfs.push({ name, index, deviceId, address, permanentAddress: address, ...state, ...more });
    const link = { index: 1, name, parentDevice: deviceId, isInfiniBand: false, vfMacs: new Map() };
    this.host.links.set(name, link);
    this.addFunction(deviceId, { isPhysicalFunction: true, enabledVfs: vfCount });
    this.#addRdmaDevice(deviceId, 1n);
    for (let number = 0; number < vfCount; number++) {
      const slot = (1 + (number >> 3)).toString(16).padStart(2, "0");
      const deviceId = `0000:${bus}:${slot}.${number & 7}`;
      const vf = { pf: name, number, deviceId, mac: NO_MAC, guids: { node: 0n, port: 0n } };
      this.vfs.push(vf);
      this.addFunction(vf.deviceId);
      this.#makeDevices(vf);
    }
  }

  vf = (deviceId: string): MemoryVf => this.vfs.find((vf) => vf.deviceId === deviceId)!;

  /** Gives a function a driver that binds without a word, or none. */
  setDriver(deviceId: string, driver: string | undefined): void {
    const { driver: _, ...entry } = this.bus.get(deviceId)!;
    this.bus.set(deviceId, driver === undefined ? entry : { ...entry, driver });
  }

  listPhysicalFunctions(): PhysicalFunction[] {
    return this.pfs.map((pf) => ({
      ...pf,
      vfs: this.vfs.filter((vf) => vf.pf === pf.name).map(({ number, deviceId, mac, guids }) => {
        return { number, deviceId, mac, ...(pf.isInfiniBand ? { guids } : {}) };
      }),
    }));
  }

  getFunctionDevices(deviceId: string): FunctionDevices {
    const { netdev } = this.vf(deviceId);
    const own = this.devices.filter((device) => device.deviceId === deviceId);
    const here = [netdev].filter((one) => one?.space === this.host) as MemoryNetdev[];
    return {
      netdevs: here.map(({ space: _, ...shown }) => ({ ...shown, isPermanent: !shown.isRandom })),
      isNetdevAway: netdev !== undefined && here.length === 0,
      isRdmaAway: own.length > 0 && own.every(({ space }) => space !== this.host),
      vdpaDevices: [this.vdpaDevices.get(deviceId)].filter((name) => name !== undefined),
    };
  }

  listRepresentors(pfDeviceId: string): Representor[] {
    const owner = this.listPhysicalFunctions().find(({ deviceId }) => deviceId === pfDeviceId);
    return this.representors.filter(({ pf }) => pf === owner?.name);
  }

  /** A link that a test puts there can have details. */
  listLinks({ inode, space }: MemoryNetns): LinkDetails[] {
    const ofVfs = this.vfs.flatMap(({ netdev, deviceId }) => {
      if (netdev?.space.inode !== inode) return [];
      const { name, address } = netdev;
      return [{ index: 9, name, address, parentDevice: deviceId, vfMacs: new Map(), isInfiniBand: false }];
    });
    return [...space.links.values(), ...ofVfs].map((link) => ({
      ...{ vfGuids: new Map(), isEnabled: true, isUp: true },
      ...link,
    }));
  }

  listRdmaNodes(netns: Netns): RdmaNode[] {
    return netns.listRdmaDevices().map((device) => ({
      ...device,
      nodeGuid: this.#guids.get(device.index) ?? 0n,
    }));
  }

  listPortDetails(netns: MemoryNetns, name: string, gidLimit: number): PortDetails[] {
    const device = netns.inSysfs(name);
    return device ? listPorts(device, gidLimit) : [];
  }

  listCounters({ space }: MemoryNetns, index: number): Counter[] {
    const device = this.devices.find((device) => device.index === index && device.space === space);
    if (!device) return [];
    this.onCounters(device);
    return device.counters ?? [];
  }

  setVfMac(pf: PhysicalFunction, number: number, mac: string): void {
    this.orders.push(`mac ${pf.name} ${number} ${mac}`);
    this.#vfOf(pf, number).mac = mac;
  }

  setVfGuid(pf: PhysicalFunction, number: number, guid: bigint): void {
    this.orders.push(`guid ${pf.name} ${number} ${guid.toString(16)}`);
    if (!pf.isInfiniBand) throw new NetlinkError("give a GUID", EOPNOTSUPP);
    this.#vfOf(pf, number).guids = { node: guid, port: guid };
  }

  unbindDriver(deviceId: string): Promise<void> {
    this.orders.push(`unbind ${deviceId}`);
    const errno = this.onUnbind(deviceId);
    if (errno) return Promise.reject(new SyscallError(`unbind the driver of ${deviceId}`, errno));
    this.setDriver(deviceId, undefined);
    delete this.vf(deviceId).netdev;
    const rest = this.devices.filter((device) => device.deviceId !== deviceId);
    this.devices.splice(0, this.devices.length, ...rest);
    return Promise.resolve();
  }

  async bindDriver(deviceId: string, driver: string | undefined): Promise<void> {
    this.orders.push(`bind ${deviceId} ${driver ?? "any"}`);
    const errno = this.onBind(deviceId);
    if (this.bindMs > 0) await this.delay(this.bindMs);
    if (errno) throw new SyscallError(`bind driver ${JSON.stringify(driver)}`, errno);
    this.setDriver(deviceId, driver ?? "mlx5_core");
    this.after(this.devicesMs, () => this.#makeDevices(this.vf(deviceId)));
  }

  delay(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.#later.push({ atMs: this.sleptMs + milliseconds, work: resolve, isAwaited: true });
      this.#timer ??= setTimeout(() => this.#advance(), 0);
    });
  }

  /** Has something happen when time has passed. */
  after(milliseconds: number, work: () => void): void {
    if (milliseconds === 0) work();
    else this.#later.push({ atMs: this.sleptMs + milliseconds, work, isAwaited: false });
  }

  #advance(): void {
    this.#timer = undefined;
    const nextMs = Math.min(...this.#later.map(({ atMs }) => atMs));
    this.sleptMs = Math.max(this.sleptMs, nextMs);
    this.onSleep();
    const due = this.#later.filter(({ atMs }) => atMs <= nextMs);
    const rest = this.#later.filter(({ atMs }) => atMs > nextMs);
    this.#later.splice(0, this.#later.length, ...rest);
    for (const { work } of due) work();
    if (rest.some(({ isAwaited }) => isAwaited)) this.#timer ??= setTimeout(() => this.#advance(), 0);
  }

  catchSignals(): Disposable & { caught(): Promise<string | undefined> } {
    return this.keepOpen({ caught: () => Promise.resolve(this.signal) });
  }

  #makeDevices(vf: MemoryVf): void {
    const isInfiniBand = this.pfs.some(({ name, isInfiniBand }) => name === vf.pf && isInfiniBand);
    const isRandom = vf.mac === NO_MAC || !this.takesMac;
    const address = isRandom ? `${RANDOM_MAC}${vf.number.toString(16).padStart(2, "0")}` : vf.mac;
    if (this.makes.netdev && !isInfiniBand) {
      const index = this.#nextIndex++;
      const name = `${vf.pf}v${vf.number}`;
      vf.netdev = { name, index, address, isRandom, isUp: false, uppers: [], space: this.host };
    }
    const guid = isInfiniBand ? (this.takesMac ? vf.guids.node : 1n) : isRandom ? 0n : this.makeGuid(address);
    if (this.makes.rdmaDevice) this.#addRdmaDevice(vf.deviceId, guid);
  }

  #addRdmaDevice(deviceId: string, guid: bigint): void {
    const index = this.#nextIndex++;
    this.addDevice(deviceId, index);
    this.#guids.set(index, guid);
  }

  #vfOf(pf: PhysicalFunction, number: number): MemoryVf {
    return this.vfs.find((vf) => vf.pf === pf.name && vf.number === number)!;
  }
}
