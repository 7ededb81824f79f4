import { guidOfMac } from "../../src/admin/vf_mac/guid.ts";
import { NO_MAC } from "../../src/admin/vf_mac/mac.ts";
import { EOPNOTSUPP, NetlinkError, SyscallError } from "../../src/kernel/error.ts";
import type { Netns } from "../../src/kernel/kernel.ts";
import type {
  FunctionDevices,
  LinkDetails,
  PhysicalFunction,
  RdmaNode,
  VfKernel,
} from "../../src/kernel/vf_kernel.ts";
import { MemoryKernel, type Space } from "./memory_kernel.ts";

const RANDOM_MAC = "8e:11:22:33:44:";

interface MemoryVf {
  readonly pf: string;
  readonly number: number;
  readonly deviceId: string;
  mac: string;
  guid: bigint;
  netdev?: { readonly name: string; address: string; isRandom: boolean; space: Space };
}

/** A kernel in memory with an adapter whose virtual functions behave as those of mlx5 do. */
export class MemoryVfKernel extends MemoryKernel implements VfKernel {
  bootedAtMs = 0;
  readonly pfs: Omit<PhysicalFunction, "vfs">[] = [];
  readonly vfs: MemoryVf[] = [];
  /** What was ordered, in order. */
  readonly orders: string[] = [];
  /** Runs before each bind; a number is the errno that the driver fails with. */
  onBind: (deviceId: string) => number | void = () => {};
  /** Which devices drivers make. */
  makes = { netdev: true, rdmaDevice: true };
  /** The driver takes the administrative address or GUID. */
  takesMac = true;
  /** What the RDMA driver makes of an address. */
  makeGuid: (mac: string) => bigint = guidOfMac;
  /** A signal that comes while something is done. */
  signal: string | undefined;
  readonly #guids = new Map<number, bigint>();
  #nextIndex = 100;

  /** An adapter's physical function with virtual functions, whose drivers are bound. */
  addPf(name: string, vfCount: number, more: Partial<PhysicalFunction> = {}): void {
    const bus = (0x3b + this.pfs.length).toString(16);
    const address = `b8:59:9f:00:00:0${this.pfs.length + 1}`;
    const deviceId = `0000:${bus}:00.0`;
    this.pfs.push({
      name,
      index: 2 + this.pfs.length,
      deviceId,
      isInfiniBand: false,
      isUp: true,
      address,
      permanentAddress: address,
      ...more,
    });
    this.host.links.set(name, { index: 1, name, isInfiniBand: false, vfMacs: new Map() });
    this.addFunction(deviceId, { isPhysicalFunction: true, enabledVfs: vfCount });
    this.#addRdmaDevice(deviceId, 1n);
    for (let number = 0; number < vfCount; number++) {
      const vf = { pf: name, number, deviceId: `0000:${bus}:01.${number}`, mac: NO_MAC, guid: 0n };
      this.vfs.push(vf);
      this.addFunction(vf.deviceId);
      this.#makeDevices(vf);
    }
  }

  vf(deviceId: string): MemoryVf {
    return this.vfs.find((vf) => vf.deviceId === deviceId)!;
  }

  /** Gives a function a driver that binds without a word, or none. */
  setDriver(deviceId: string, driver: string | undefined): void {
    const { driver: _, ...entry } = this.bus.get(deviceId)!;
    this.bus.set(deviceId, driver === undefined ? entry : { ...entry, driver });
  }

  listPhysicalFunctions(): PhysicalFunction[] {
    return this.pfs.map((pf) => ({
      ...pf,
      vfs: this.vfs.filter((vf) => vf.pf === pf.name).map(({ number, deviceId, mac, guid }) => {
        return { number, deviceId, mac, ...(pf.isInfiniBand ? { guid } : {}) };
      }),
    }));
  }

  getFunctionDevices(deviceId: string): FunctionDevices {
    const { netdev } = this.vf(deviceId);
    const own = this.devices.filter((device) => device.deviceId === deviceId);
    const isHere = netdev?.space === this.host;
    return {
      netdevs: netdev && isHere
        ? [{
          name: netdev.name,
          address: netdev.address,
          isRandom: netdev.isRandom,
          isPermanent: !netdev.isRandom,
        }]
        : [],
      isNetdevAway: netdev !== undefined && !isHere,
      isRdmaAway: own.length > 0 && own.every(({ space }) => space !== this.host),
    };
  }

  listLinksIn({ inode }: Netns): LinkDetails[] {
    return this.vfs.flatMap(({ netdev, deviceId }) =>
      netdev?.space.inode === inode
        ? [{
          index: 9,
          name: netdev.name,
          parentDevice: deviceId,
          vfMacs: new Map(),
          vfGuids: new Map(),
          isInfiniBand: false,
          isUp: true,
          address: netdev.address,
        }]
        : []
    );
  }

  listRdmaNodes(netns: Netns): RdmaNode[] {
    return netns.listRdmaDevices().map((device) => ({
      ...device,
      nodeGuid: this.#guids.get(device.index) ?? 0n,
    }));
  }

  setVfMac(pf: PhysicalFunction, number: number, mac: string): void {
    this.orders.push(`mac ${pf.name} ${number} ${mac}`);
    this.#vfOf(pf, number).mac = mac;
  }

  setVfGuid(pf: PhysicalFunction, number: number, guid: bigint): void {
    this.orders.push(`guid ${pf.name} ${number} ${guid.toString(16)}`);
    if (!pf.isInfiniBand) throw new NetlinkError("give a GUID", EOPNOTSUPP);
    this.#vfOf(pf, number).guid = guid;
  }

  unbindDriver(deviceId: string): void {
    this.orders.push(`unbind ${deviceId}`);
    this.setDriver(deviceId, undefined);
    delete this.vf(deviceId).netdev;
    const rest = this.devices.filter((device) => device.deviceId !== deviceId);
    this.devices.splice(0, this.devices.length, ...rest);
  }

  bindDriver(deviceId: string, driver: string | undefined): void {
    this.orders.push(`bind ${deviceId} ${driver ?? "any"}`);
    const errno = this.onBind(deviceId);
    if (errno) throw new SyscallError(`bind driver ${JSON.stringify(driver)}`, errno);
    this.setDriver(deviceId, driver ?? "mlx5_core");
    this.#makeDevices(this.vf(deviceId));
  }

  holdSignals(): Disposable & { caught(): Promise<string | undefined> } {
    const held = {
      caught: () => Promise.resolve(this.signal),
      [Symbol.dispose]: () => void this.open.delete(held),
    };
    this.open.add(held);
    return held;
  }

  #makeDevices(vf: MemoryVf): void {
    const isInfiniBand = this.pfs.some(({ name, isInfiniBand }) => name === vf.pf && isInfiniBand);
    const isRandom = vf.mac === NO_MAC || !this.takesMac;
    const address = isRandom ? `${RANDOM_MAC}${vf.number.toString(16).padStart(2, "0")}` : vf.mac;
    if (this.makes.netdev && !isInfiniBand) {
      vf.netdev = { name: `${vf.pf}v${vf.number}`, address, isRandom, space: this.host };
    }
    const guid = isInfiniBand ? (this.takesMac ? vf.guid : 1n) : isRandom ? 0n : this.makeGuid(address);
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
