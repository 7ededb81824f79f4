/** RoCE QoS by sysfs and configfs. */
import { ENODEV, errnoOf, quietly } from "../sys/errno.ts";
import { type RoceQos, RoceQosError, type RoceQosSetting } from "./kernel.ts";
import { exists, isFileName, list } from "./sysfs.ts";

/** The place of a setting: the directory has one for each port, named by its number, with the file in it. */
interface Place {
  readonly setting: string;
  readonly directory: (device: string) => string;
  readonly file: string;
  readonly parse: (text: string) => number | undefined;
  /** Advice for when it is absent. */
  readonly advice: string;
}

const PLACES: Readonly<Record<RoceQosSetting, Place>> = {
  // Not in the mainline kernel, but in mlx5 of NVIDIA's driver packages (qos.c, traffic_class_store).
  trafficClass: {
    setting: "traffic class",
    directory: (device) => `/sys/class/infiniband/${asFileName(device)}/tc`,
    file: "traffic_class",
    parse: parseTrafficClass,
    advice:
      "only mlx5 of MLNX_OFED and DOCA has this setting, and a device that is already in a pod does not show it: " +
      'change the driver, or remove "trafficClass" from rdmaQoS',
  },
  // drivers/infiniband/core/cma_configfs.c, kernel 4.11.
  tos: {
    setting: "default ToS",
    directory: (device) => `${groupOf(device)}/ports`,
    file: "default_roce_tos",
    parse: (text) => /^\d+$/.test(text) ? Number(text) : undefined,
    advice:
      "this setting needs configfs, module rdma_cm and a device that supports RDMA CM: mount -t configfs " +
      'configfs /sys/kernel/config; modprobe rdma_cm; or remove "tos" from rdmaQoS',
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
    // It was absent, or it remains and changes nothing.
    quietly(() => Deno.removeSync(`${this.root}${groupOf(device)}`));
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
      // ENODEV, for which Deno has no class: RDMA CM does not use the device.
      const isAbsent = cause instanceof Deno.errors.NotFound || errnoOf(cause) === ENODEV;
      throw new RoceQosError(
        `Cannot ${verb} the ${place.setting} of RDMA device ${JSON.stringify(device)}: ${message}`,
        isAbsent ? place.advice : "see the kernel log",
        { cause },
      );
    }
  }

  /** The kernel adds a directory for each port. What is set there remains when the group is removed. */
  #ensureGroup(device: string): Disposable | undefined {
    if (this.hasGroup(device)) return undefined;
    Deno.mkdirSync(`${this.root}${groupOf(device)}`);
    return { [Symbol.dispose]: () => this.removeGroup(device) };
  }
}

/** The kernel looks the device up by this name in all namespaces (cma.c, cma_enum_devices_by_ibdev). */
function groupOf(device: string): string {
  return `/sys/kernel/config/rdma_cm/${asFileName(device)}`;
}

function asFileName(device: string): string {
  if (isFileName(device)) return device;
  throw new RangeError(`No device can have the name ${JSON.stringify(device)}`);
}

/**
 * The file is empty until a class is set; then it has a line "Global tclass=106". Lines such as
 * "dst_ip=10.0.0.0/8,tclass=32" are rules, which remain. To write a number sets the class, -1 removes it.
 */
function parseTrafficClass(text: string): number | undefined {
  const [, value = "-1"] = /^Global tclass=(\d+)$/m.exec(text) ?? [];
  const isKnown = text.split("\n").every((line) => line === "" || line.includes("tclass="));
  return isKnown ? Number(value) : undefined;
}
