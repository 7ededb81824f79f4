import { ENODEV, errnoOf } from "../sys/errno.ts";
import type { RoceQos, RoceQosSetting } from "./kernel.ts";
import { exists, isFileName, list } from "./sysfs.ts";

/** A setting of RoCE QoS cannot be had. */
export class RoceQosError extends Error {
  override readonly name = "RoceQosError";

  constructor(message: string, readonly advice: string, options: ErrorOptions) {
    super(message, options);
  }
}

/** Where a setting is kept: below the directory each port has one of its number, with the file. */
interface Place {
  readonly setting: string;
  readonly directory: (device: string) => string;
  readonly file: string;
  readonly parse: (text: string) => number | undefined;
  /** What to do when it is not there. */
  readonly advice: string;
}

const PLACES: Readonly<Record<RoceQosSetting, Place>> = {
  // Not of the mainline kernel, but of mlx5 in NVIDIA's driver packages (qos.c, traffic_class_show and _store).
  trafficClass: {
    setting: "traffic class",
    directory: (device) => `/sys/class/infiniband/${asFileName(device)}/tc`,
    file: "traffic_class",
    parse: parseTrafficClass,
    advice:
      "mlx5 of MLNX_OFED and DOCA has this setting, the kernel's own drivers have not, and a device that is in " +
      'a pod already does not show it: change the driver, or take "trafficClass" out of rdmaQoS',
  },
  // drivers/infiniband/core/cma_configfs.c, kernel 4.11.
  tos: {
    setting: "default ToS",
    directory: (device) => `${groupOf(device)}/ports`,
    file: "default_roce_tos",
    parse: (text) => /^\d+$/.test(text) ? Number(text) : undefined,
    advice:
      "this setting wants configfs, module rdma_cm and a device that can do RDMA CM: mount -t configfs " +
      'configfs /sys/kernel/config; modprobe rdma_cm; or take "tos" out of rdmaQoS',
  },
};

/** RoCE QoS of this machine's devices. `root` is the directory that stands for "/". */
export class LinuxRoceQos implements RoceQos {
  constructor(readonly root = "") {}

  read(setting: RoceQosSetting, device: string): number[] {
    return this.#atPorts("read", setting, device, (file) => {
      const text = Deno.readTextFileSync(file).trim();
      const value = PLACES[setting].parse(text);
      if (value === undefined) throw new Error(`${JSON.stringify(file)} reads ${JSON.stringify(text)}`);
      return value;
    });
  }

  write(setting: RoceQosSetting, device: string, value: number | readonly number[]): void {
    this.#atPorts("set", setting, device, (file, port) => {
      const own = typeof value === "number" ? value : value[port];
      if (own !== undefined) Deno.writeTextFileSync(file, String(own), { create: false });
    });
  }

  hasGroup(device: string): boolean {
    return exists(`${this.root}${groupOf(device)}`);
  }

  removeGroup(device: string): void {
    try {
      Deno.removeSync(`${this.root}${groupOf(device)}`);
    } catch {
      // It was not there, or it stays: it changes nothing.
    }
  }

  #atPorts<T>(
    verb: string,
    setting: RoceQosSetting,
    device: string,
    work: (file: string, port: number) => T,
  ): T[] {
    const place = PLACES[setting];
    try {
      using _group = setting === "tos" ? this.#ensureGroup(device) : undefined;
      const directory = `${this.root}${place.directory(device)}`;
      const ports = list(directory).length;
      if (ports === 0) throw new Deno.errors.NotFound(`${JSON.stringify(directory)} is not there`);
      return Array.from({ length: ports }, (_, port) => work(`${directory}/${port + 1}/${place.file}`, port));
    } catch (cause) {
      const { message } = cause as Error;
      // ENODEV, which Deno gives no name: RDMA CM has not taken the device.
      const isAbsent = cause instanceof Deno.errors.NotFound || errnoOf(cause) === ENODEV;
      throw new RoceQosError(
        `Cannot ${verb} the ${place.setting} of RDMA device ${JSON.stringify(device)}: ${message}`,
        isAbsent ? place.advice : "see the kernel log",
        { cause },
      );
    }
  }

  /** The kernel fills the group with a directory for each port; what is set there stays when the group goes. */
  #ensureGroup(device: string): Disposable | undefined {
    if (this.hasGroup(device)) return undefined;
    Deno.mkdirSync(`${this.root}${groupOf(device)}`);
    return { [Symbol.dispose]: () => this.removeGroup(device) };
  }
}

/** The kernel looks the device up by this name, in whatever namespace it is (cma.c, cma_enum_devices_by_ibdev). */
function groupOf(device: string): string {
  return `/sys/kernel/config/rdma_cm/${asFileName(device)}`;
}

function asFileName(device: string): string {
  if (isFileName(device)) return device;
  throw new RangeError(`No device can have the name ${JSON.stringify(device)}`);
}

/**
 * The file is empty until a class is set; then it has a line "Global tclass=106". Lines such as
 * "dst_ip=10.0.0.0/8,tclass=32" are rules, which stay. A number alone sets the class, -1 takes it away.
 */
function parseTrafficClass(text: string): number | undefined {
  const [, value = "-1"] = /^Global tclass=(\d+)$/m.exec(text) ?? [];
  return text.split("\n").every((line) => line === "" || line.includes("tclass="))
    ? Number(value)
    : undefined;
}
