import type { Call } from "../config/config.ts";
import { CniError, ErrorCode } from "../../cni/error.ts";
import { listInterfaces } from "../../cni/result.ts";
import type { BusDevice, Kernel, Link, Netns, RdmaDevice } from "../../kernel/kernel.ts";
import { quoteAll } from "../../sys/errno.ts";
import type { Memo } from "../record/memo.ts";
import { KERNEL_TIMEOUT_MS, type Node, PAUSE_MS } from "../node.ts";

/** The time that a function may have no RDMA device while its driver is rebound. Pods that may do without wait for it. */
const NONE_TIMEOUT_MS = 500;

/** An RDMA device that ADD takes: where it is, and what it is called there and then in the pod. */
export interface PlannedDevice {
  readonly index: number;
  /** Its name now: that on the host, unless the pod has it already. */
  readonly hostName: string;
  readonly podName: string;
  readonly location: "host" | "pod";
  /** Its uverbs device, of a device on the host, if it has one. */
  readonly uverbs?: string | undefined;
}

/** A function and those of its RDMA devices that are in the host namespace. */
export interface RdmaFunction {
  readonly bus: BusDevice;
  readonly onHost: readonly RdmaDevice[];
}

/** A function is there, and its driver has made no RDMA device. */
export class NoRdmaDevice extends CniError {}

/**
 * Resolves the function that an attachment means. In this order: what the runtime or the configuration says, the result's pciID,
 * the device below the interface in the pod, the VF with the interface's address.
 *
 * @param getInterface looks up the interface in the pod
 * @throws {CniError} code 110 when none of these names one, or an address belongs to several VFs
 */
export function resolveDeviceId(
  { environment, config, log }: Call,
  kernel: Kernel,
  getInterface: () => Link | undefined,
): string {
  const interfaces = listInterfaces(config.prevResult, environment.netns, environment.ifname);
  const sources: readonly (readonly [name: string, find: () => string | undefined])[] = [
    ["deviceID", () => config.deviceId],
    ["prevResult's pciID", () => {
      const [first] = interfaces;
      return first?.name === environment.ifname ? first.pciID ?? undefined : undefined;
    }],
    ["the interface's parent device", () => getInterface()?.parentDevice],
    ["the interface's MAC address", () => findByMac(kernel, interfaces.map((entry) => entry.mac ?? ""))],
  ];
  for (const [name, find] of sources) {
    const deviceId = find();
    if (!deviceId) continue;
    log.debug(`Device ${JSON.stringify(deviceId)} found by ${name}`);
    return deviceId;
  }
  throw new CniError(
    ErrorCode.deviceNotFound,
    `Cannot tell which device belongs to interface ${JSON.stringify(environment.ifname)}: ` +
      "no deviceID, no pciID in prevResult, no parent device, and no virtual function with its MAC address",
    'give the network attachment the annotation "k8s.v1.cni.cncf.io/resourceName", so that Multus passes the deviceID',
  );
}

/**
 * Looks up the RDMA devices of a function. Sysfs and netlink disagree while the kernel moves, makes or removes one; then
 * both are asked again, for some seconds at most.
 *
 * @throws {CniError} code 110 with the cause when it has none, {@linkcode NoRdmaDevice} when its driver made none; 11 when
 *   it cannot be told
 */
export function getFunction(node: Node, deviceId: string): RdmaFunction {
  let found = lookUp(node, deviceId);
  if (isCertain(found)) return found;
  const { kernel } = node;
  const startUs = kernel.getBootTimeUs();
  do {
    const limitMs = isNone(found) ? NONE_TIMEOUT_MS : KERNEL_TIMEOUT_MS;
    if (kernel.getBootTimeUs() - startUs >= limitMs * 1000) throw explainFailure(found);
    kernel.sleep(PAUSE_MS);
    found = lookUp(node, deviceId);
  } while (!isCertain(found));
  return found;
}

function lookUp({ kernel, indexes }: Node, deviceId: string): RdmaFunction {
  const bus = kernel.getBusDevice(deviceId);
  if (!bus) {
    throw notFound(deviceId, "there is no such device on the pci or auxiliary bus", "compare with lspci -D");
  }
  return { bus, onHost: findByName(kernel.getHostNetns(), bus, indexes) };
}

/** It has RDMA devices, and netlink has those that sysfs shows. */
function isCertain({ bus, onHost }: RdmaFunction): boolean {
  return bus.rdmaDeviceCount > 0 && onHost.length === bus.rdmaDevices.length;
}

function isNone({ bus }: RdmaFunction): boolean {
  return bus.rdmaDeviceCount === 0;
}

function explainFailure(found: RdmaFunction): CniError {
  const { id, driver, bus, rdmaDevices } = found.bus;
  if (!isNone(found)) {
    return new CniError(
      ErrorCode.tryAgainLater,
      `Cannot use the RDMA devices of ${JSON.stringify(id)}: sysfs shows ${
        quoteAll(rdmaDevices) || "none"
      }, netlink disagrees`,
      'the kernel is making or removing them; if this stays, compare "rdma dev" with ls /sys/class/infiniband',
    );
  }
  if (!driver) {
    return notFound(id, "no driver is bound to it", `bind it: echo ${id} > /sys/bus/${bus}/drivers_probe`);
  }
  return new NoRdmaDevice(
    ErrorCode.deviceNotFound,
    `${cannotFind(id)}: its driver ${JSON.stringify(driver)} has made no RDMA device`,
    `load the driver's RDMA module (mlx5_ib for mlx5_core, irdma for iavf), or bind a driver that can do RDMA; ` +
      "functions given to virtual machines (vfio-pci) have none",
  );
}

/**
 * A function's devices in a namespace by the names that sysfs gives them. The kernel looks devices up by index only.
 * After a boot a device's index is the number of its uverbs device too. That ends when its driver is rebound: indexes
 * are counted on, and uverbs devices get the lowest free number. Then all devices are listed, which takes longer the
 * more there are, and the index is remembered.
 */
function findByName(netns: Netns, bus: BusDevice, indexes: Memo): RdmaDevice[] {
  const found = bus.rdmaDevices.flatMap((name) =>
    confirm(netns, uverbsNumber(bus, name), name) ?? confirm(netns, parseIndex(indexes.get(name)), name) ?? []
  );
  if (found.length === bus.rdmaDevices.length) return found;
  const all = netns.listRdmaDevices();
  return bus.rdmaDevices.flatMap((name) => {
    const device = all.find((listed) => listed.name === name);
    if (device && device.index !== uverbsNumber(bus, name)) indexes.set(name, `${device.index}`);
    return device ?? [];
  });
}

/** The name of the uverbs device of an RDMA device, as sysfs shows it. */
export function uverbsOf(bus: BusDevice, name: string): string | undefined {
  return bus.uverbs.find(({ rdmaDevice }) => rdmaDevice === name)?.name;
}

function uverbsNumber(bus: BusDevice, name: string): number | undefined {
  const [, number] = /^uverbs(\d+)$/.exec(uverbsOf(bus, name) ?? "") ?? [];
  return number === undefined ? undefined : Number(number);
}

function parseIndex(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** The device of this index if it has this name. */
function confirm(netns: Netns, index: number | undefined, name: string): RdmaDevice | undefined {
  const device = index === undefined ? undefined : netns.getRdmaDevice(index);
  return device?.name === name ? device : undefined;
}

/** Counts those of a function's RDMA devices that are in other namespaces, or on their way, in mode exclusive. */
export function countAway({ rdmaDeviceCount, rdmaDevices }: BusDevice): number {
  return rdmaDeviceCount - rdmaDevices.length;
}

/** Returns whether all RDMA devices of a function are on the host: also by netlink, which has one later than sysfs. */
export function areAllOnHost(kernel: Kernel, deviceId: string): boolean {
  const bus = kernel.getBusDevice(deviceId);
  if (!bus) return true;
  if (countAway(bus) > 0) return false;
  const names = kernel.getHostNetns().listRdmaDevices().map(({ name }) => name);
  return bus.rdmaDevices.every((name) => names.includes(name));
}

/**
 * Returns whether some of a function's RDMA devices are in another namespace, in whatever mode. Class infiniband_verbs in sysfs
 * shows all, class infiniband only those of the namespace that sysfs was mounted in. A device that is being moved
 * deceives this: it is for people, not for decisions.
 */
export function isAway(bus: BusDevice): boolean {
  return bus.uverbs.length > bus.rdmaDevices.length;
}

/**
 * Those RDMA devices of a namespace that belong to a function, told by their uverbs devices.
 *
 * @param devices all of the namespace's, when the caller has them already
 */
export function listDevicesIn(netns: Netns, bus: BusDevice, devices?: readonly RdmaDevice[]): RdmaDevice[] {
  const uverbs = bus.uverbs.map(({ name }) => name);
  if (uverbs.length === 0) return [];
  return (devices ?? netns.listRdmaDevices()).filter(({ index }) =>
    uverbs.includes(netns.getUverbs(index) ?? "")
  );
}

/**
 * Returns whether a device that a record names by its index may be one of a function's: unless its uverbs device is that of
 * another function, or the function has gone. When module ib_core is loaded again, indexes are counted from 0 again.
 *
 * @param bus the function, where the caller has looked it up already
 */
export function mayBelongTo(
  kernel: Kernel,
  deviceId: string,
  netns: Netns,
  { index }: RdmaDevice,
  bus = kernel.getBusDevice(deviceId),
): boolean {
  if (!bus) return false;
  const uverbs = netns.getUverbs(index);
  const isIts = (found: BusDevice | undefined) => found?.uverbs.some(({ name }) => name === uverbs) ?? false;
  // To ask for a uverbs device can load the module that makes them.
  return uverbs === undefined || isIts(bus) || isIts(kernel.getBusDevice(deviceId));
}

function findByMac(kernel: Kernel, macs: readonly string[]): string | undefined {
  const wanted = macs.map((mac) => mac.toLowerCase()).filter((mac) => /[^0:]/.test(mac));
  if (wanted.length === 0) return undefined;
  const vfs = kernel.listVirtualFunctions();
  for (const mac of wanted) {
    const holders = vfs.filter((vf) => vf.mac === mac);
    if (holders.length === 1) return holders[0]!.deviceId;
    if (holders.length === 0) continue;
    const names = holders.map(({ pf, number, deviceId }) => `${deviceId} (VF ${number} of ${pf})`);
    throw new CniError(
      ErrorCode.deviceNotFound,
      `Cannot tell which device has MAC address "${mac}": ${names.join(", ")} have it`,
      "give each virtual function a different address, or pass the deviceID",
    );
  }
  return undefined;
}

function notFound(deviceId: string, cause: string, advice: string): CniError {
  return new CniError(ErrorCode.deviceNotFound, `${cannotFind(deviceId)}: ${cause}`, advice);
}

function cannotFind(deviceId: string): string {
  return `Cannot find an RDMA device of ${JSON.stringify(deviceId)}`;
}
