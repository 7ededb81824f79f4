import { EOPNOTSUPP, EPERM } from "../../../src/sys/errno.ts";
import type { NodeFunction, PlacedDevice, Rig, RigCall, RigOutcome } from "../rig.ts";
import type { Device, Space } from "./kernel.ts";
import { POD, TestNode } from "./node.ts";

const PF = "0000:3b:00.0";
const MAC = "02:00:00:00:01:";

export class MemoryRig implements Rig, Disposable {
  readonly #node = new TestNode();
  readonly #kernel = this.#node.kernel;
  readonly #held = new Set<Space>();
  readonly directory = this.#node.directory;
  readonly #vfs: string[] = [];
  readonly #sfs = ["mlx5_core.sf.4", "mlx5_core.sf.5"];
  #nextIndex = 50;
  #finish: () => void = () => {};

  constructor(readonly hasNamesPerNetns: boolean) {
    this.#kernel.namesPerNetns = hasNamesPerNetns;
    const { paths, held, devices, bus, virtualFunctions } = this.#kernel;
    devices.length = 0;
    bus.clear();
    held.clear();
    paths.delete(POD);
    this.#kernel.addFunction(PF, { isPhysicalFunction: true, enabledVfs: 7 });
    this.#kernel.addDevice(PF, 1, { resources: [] });
    for (let number = 0; number < 7; number++) {
      const deviceId = `0000:3b:00.${number + 1}`;
      this.#vfs.push(deviceId);
      this.#kernel.addFunction(deviceId, { driver: "igbvf" });
      this.#kernel.addDevice(deviceId, number + 2);
      virtualFunctions.push({ pf: "eth0", number, mac: `${MAC}0${number}`, deviceId });
    }
    for (const [i, deviceId] of this.#sfs.entries()) {
      this.#kernel.addFunction(deviceId);
      this.#kernel.addDevice(deviceId, 20 + i);
    }
  }

  [Symbol.dispose](): void {
    this.#node[Symbol.dispose]();
  }

  readonly pf = () => this.#function(PF);
  readonly vf = (number: number) => this.#function(this.#vfs[number]!);
  readonly sf = (number: number) => this.#function(this.#sfs[number]!);

  #function(deviceId: string): NodeFunction {
    const own = this.#devicesOf(deviceId).filter(({ space }) => space === this.#kernel.host);
    return { deviceId, rdmaDevices: own.map(({ name }) => name) };
  }

  #devicesOf(id: string): Device[] {
    return this.#kernel.devices.filter(({ deviceId, parent }) => deviceId === id && !parent);
  }

  listDevices(): PlacedDevice[] {
    return [PF, ...this.#vfs, ...this.#sfs].flatMap((deviceId) =>
      this.#devicesOf(deviceId).map(({ name, index, space }) => {
        const place = this.#placeOf(space);
        return { deviceId, name, place, index: place === "away" ? undefined : index };
      })
    );
  }

  #placeOf(space: Space): string {
    if (space === this.#kernel.host) return "host";
    const path = [...this.#kernel.paths].find(([, one]) => one === space)?.[0];
    return path?.replace("/run/netns/", "") ?? "away";
  }

  #space(name: string): Space {
    return name === "host" ? this.#kernel.host : this.#kernel.paths.get(path(name))!;
  }

  addNetns(name: string): void {
    const number = this.#nextIndex++;
    this.#kernel.addNetns(path(name), 4026532000 + number, `${number}`);
  }

  holdNetns(name: string): void {
    this.#held.add(this.#space(name));
    this.#kernel.held.set(`/proc/${this.#nextIndex++}/ns/net`, this.#space(name));
  }

  removePath(name: string): void {
    const space = this.#space(name);
    this.#kernel.paths.delete(path(name));
    if (this.#held.has(space)) return;
    this.#kernel.onSleep = () => this.#kernel.endNetns(space);
  }

  endNetns(name: string): void {
    this.#kernel.endNetns(this.#space(name));
    this.#kernel.paths.delete(path(name));
  }

  beginEnd(name: string, comes: "soon" | "never"): void {
    const space = this.#space(name);
    this.#kernel.paths.delete(path(name));
    const devices = this.#kernel.devices.filter((device) => device.space === space);
    for (const device of devices) device.hiddenFrom = ["sysfs", "uverbs", "netlink"];
    this.#finish = () => {
      for (const device of devices) delete device.hiddenFrom;
      this.#kernel.endNetns(space);
      this.#kernel.onSleep = () => {};
      this.#finish = () => {};
    };
    const dueMs = this.#kernel.sleptMs + 400;
    this.#kernel.onSleep = () => {
      if (comes === "soon" && this.#kernel.sleptMs >= dueMs) this.#finish();
    };
  }

  readonly finishEnd = () => this.#finish();

  addInterface({ deviceId }: NodeFunction, netns: string, name: string): void {
    const link = { index: 9, name, parentDevice: deviceId, isInfiniBand: false, vfMacs: new Map() };
    this.#space(netns).links.set(name, link);
  }

  readonly removeInterface = (netns: string, name: string) => void this.#space(netns).links.delete(name);
  readonly getInterface = (netns: string, name: string) => this.#space(netns).links.get(name);

  makeInfiniBand(number: number): NodeFunction {
    const of = this.vf(number);
    this.moveIpoib(of, "host", "ib0");
    return of;
  }

  moveIpoib({ deviceId }: NodeFunction, netns: string, name: string, { isPartition = false } = {}): void {
    if (!isPartition) this.#kernel.host.links.delete("ib0");
    const parent = isPartition ? {} : { parentDevice: deviceId };
    this.#space(netns).links.set(name, { index: 9, name, isInfiniBand: true, vfMacs: new Map(), ...parent });
  }

  setMac(number: number, mac: string): void {
    this.#kernel.virtualFunctions.splice(number, 1, { ...this.#kernel.virtualFunctions[number]!, mac });
  }

  readonly moveDevice = (name: string, from: string, to: string) =>
    this.#kernel.place(this.#device(name, from), this.#space(to));

  renameDevice(name: string, netns: string, newName: string): void {
    this.#device(name, netns).name = newName;
  }

  #device(name: string, netns: string): Device {
    const space = this.#space(netns);
    return this.#kernel.devices.find((device) => device.name === name && device.space === space)!;
  }

  unbind({ deviceId }: NodeFunction): void {
    const { driver: _, ...entry } = this.#kernel.bus.get(deviceId)!;
    this.#kernel.bus.set(deviceId, entry);
    for (const device of this.#devicesOf(deviceId)) {
      this.#kernel.devices.splice(this.#kernel.devices.indexOf(device), 1);
    }
  }

  rebind(of: NodeFunction, deviceCount = 1): void {
    this.unbind(of);
    this.#kernel.addFunction(of.deviceId, { driver: "igbvf" });
    for (let i = 0; i < deviceCount; i++) {
      const index = this.#nextIndex++;
      this.#kernel.addDevice(
        of.deviceId,
        index,
        i === 0 ? { name: of.rdmaDevices[0] ?? `mlx5_${index}` } : {},
      );
    }
  }

  makeImmovable(of: NodeFunction, deviceCount = 1): void {
    this.rebind(of, deviceCount);
    const last = this.#devicesOf(of.deviceId).at(-1);
    this.#kernel.onMove = (device) => device === last ? EOPNOTSUPP : undefined;
  }

  addSubdevice(name: string, parent: string, netns = "host"): void {
    const { deviceId } = this.#device(parent, netns);
    delete this.#kernel.addDevice(deviceId, this.#nextIndex++, { name, parent }).uverbs;
  }

  removeSubdevice(name: string): void {
    this.#kernel.devices.splice(this.#kernel.devices.indexOf(this.#device(name, "host")), 1);
  }

  readonly useDevice = (name: string) =>
    void this.#device(name, "host").resources!.push({ kind: "ctx", count: 1n });

  setMode(mode: "exclusive" | "shared"): void {
    this.#kernel.mode = mode;
  }

  async call(
    { command, config, netns, ifname, containerId, environment, isPowerless }: RigCall,
  ): Promise<RigOutcome> {
    const { onMove } = this.#kernel;
    if (isPowerless) this.#kernel.onMove = () => EPERM;
    const { code, output, json, lines } = await this.#node.call(command, {
      variables: {
        CNI_NETNS: netns && !netns.includes("/") ? path(netns) : netns,
        CNI_IFNAME: ifname ?? "net1",
        CNI_CONTAINERID: containerId ?? "container1",
        ...environment,
      },
      config: { deviceID: undefined, ...config },
    });
    this.#kernel.onMove = onMove;
    return { code, output, json, log: lines.join("") };
  }
}

const path = (name: string) => `/run/netns/${name}`;
