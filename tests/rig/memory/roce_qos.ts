import type { RoceQos, RoceQosSetting } from "../../../src/kernel/kernel.ts";
import { RoceQosError } from "../../../src/kernel/qos.ts";
import type { Device, MemoryKernel } from "./kernel.ts";

/** RoCE QoS of the devices of a kernel in memory. */
export class MemoryRoceQos implements RoceQos {
  /** Names of the devices that configfs has a group for. */
  readonly groups = new Set<string>();
  /** Runs before each write; true refuses. */
  onWrite: (setting: RoceQosSetting, device: Device) => boolean | void = () => {};

  constructor(readonly kernel: MemoryKernel) {}

  read(setting: RoceQosSetting, name: string): number[] {
    return [...this.#values(setting, this.#find(setting, name))];
  }

  write(setting: RoceQosSetting, name: string, value: number | readonly number[]): void {
    const device = this.#find(setting, name);
    const values = this.#values(setting, device);
    if (this.onWrite(setting, device)) throw failure(setting, name, "it is refused");
    for (const port of values.keys()) {
      values[port] = typeof value === "number" ? value : value[port] ?? values[port]!;
    }
  }

  hasGroup(name: string): boolean {
    return this.groups.has(name);
  }

  removeGroup(name: string): void {
    this.groups.delete(name);
  }

  #find(setting: RoceQosSetting, name: string): Device {
    const { devices, host } = this.kernel;
    const found = devices.find((device) =>
      device.name === name && (setting === "tos" || device.space === host)
    );
    if (!found) throw failure(setting, name, "there is no such device");
    return found;
  }

  #values(setting: RoceQosSetting, { qos, name }: Device): number[] {
    const values = qos?.[setting];
    if (!values) throw failure(setting, name, "it is not there");
    return values;
  }
}

function failure(setting: RoceQosSetting, name: string, reason: string): RoceQosError {
  return new RoceQosError(`Cannot use the ${setting} of ${name}: ${reason}`, `take ${setting} out`, {});
}
