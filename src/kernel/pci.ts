/** PCI network functions, their drivers and the devices of these, by sysfs. `root` stands for "/". */
import { EOPNOTSUPP, errnoOf, SyscallError } from "../sys/errno.ts";
import type { FunctionDevices, Netdev, Representor } from "./node_kernel.ts";
import { exists, isFileName, linkName, linkTarget, list, readText } from "./sysfs.ts";

/** A network controller on the PCI bus. */
export interface NetworkFunction {
  /** Its PCI address. */
  readonly id: string;
  readonly driver?: string;
  /** Its network interfaces in the host namespace. */
  readonly netdevs: readonly string[];
  readonly isVirtual: boolean;
  /** The number of virtual functions that it supports; 0 without SR-IOV. */
  readonly totalVfs: number;
  readonly enabledVfs: number;
  /** Names of its RDMA devices in the host namespace. */
  readonly rdmaDevices: readonly string[];
}

/** Domain, bus, device and function, as the kernel writes them. Domains can have more than four digits. */
const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

/** PCI base class 02 (uapi linux/pci_ids.h): Ethernet, InfiniBand and other network controllers. */
const NETWORK_CLASS = "0x02";

// uapi linux/netdevice.h.
const NET_ADDR_PERM = "0";
const NET_ADDR_RANDOM = "1";

/** All network controllers on the PCI bus, by address. */
export function listNetworkFunctions(root = ""): NetworkFunction[] {
  const bus = `${root}/sys/bus/pci/devices`;
  return list(bus).filter((id) => readText(`${bus}/${id}/class`)?.startsWith(NETWORK_CLASS)).map((id) => {
    const directory = `${bus}/${id}`;
    const driver = linkName(`${directory}/driver`);
    return {
      id,
      ...(driver === undefined ? {} : { driver }),
      netdevs: list(`${directory}/net`),
      isVirtual: exists(`${directory}/physfn`),
      totalVfs: Number(readText(`${directory}/sriov_totalvfs`) ?? 0),
      enabledVfs: Number(readText(`${directory}/sriov_numvfs`) ?? 0),
      rdmaDevices: list(`${directory}/infiniband`),
    };
  });
}

/** The host's netdevs whose PCI function has virtual functions. Reads the bus: most links may be those of pods. */
export function listPfNetdevs(root = ""): string[] {
  const bus = `${root}/sys/bus/pci/devices`;
  return list(bus).flatMap((id) => {
    const vfs = readText(`${bus}/${id}/sriov_numvfs`) ?? "0";
    return vfs === "0" ? [] : list(`${bus}/${id}/net`);
  });
}

/** The PCI address of a netdev whose function has virtual functions or supports them, else undefined. */
export function getPfDeviceId(netdev: string, root = ""): string | undefined {
  if (!isFileName(netdev)) return undefined;
  const directory = `${root}/sys/class/net/${netdev}/device`;
  return exists(`${directory}/sriov_totalvfs`) ? linkName(directory) : undefined;
}

/** The PCI address of a virtual function of a physical function's netdev; undefined when it is not enabled. */
export function getVfDeviceId(pf: string, vf: number, root = ""): string | undefined {
  return isFileName(pf) ? linkName(`${root}/sys/class/net/${pf}/device/virtfn${vf}`) : undefined;
}

/**
 * The devices that the driver of a PCI function made. A device that is in another namespace leaves the
 * directory of its class behind, empty (drivers/base/core.c, get_device_parent and cleanup_glue_dir).
 */
export function getFunctionDevices(deviceId: string, root = ""): FunctionDevices {
  const directory = functionDirectory(deviceId, root);
  const vdpa = `${root}/sys/bus/vdpa/devices`;
  const isAway = (className: string) =>
    exists(`${directory}/${className}`) && list(`${directory}/${className}`).length === 0;
  return {
    netdevs: list(`${directory}/net`).flatMap((name) => readNetdev(`${directory}/net/${name}`, name)),
    isNetdevAway: isAway("net"),
    isRdmaAway: isAway("infiniband"),
    vdpaDevices: list(vdpa).filter((name) => linkTarget(`${vdpa}/${name}`)?.includes(`/${deviceId}/`)),
  };
}

/**
 * The representors of a physical function's virtual functions: its netdevs whose port is that of a virtual
 * function, `pf0vf3` or `c1pf0vf3` (net/devlink/port.c, __devlink_port_phys_port_name_get).
 */
export function listRepresentors(pfDeviceId: string, root = ""): Representor[] {
  const directory = `${functionDirectory(pfDeviceId, root)}/net`;
  return list(directory).flatMap((name) => {
    const [, vf] = /^(?:c\d+)?pf\d+vf(\d+)$/.exec(readPortName(`${directory}/${name}`)) ?? [];
    return vf === undefined ? [] : [{ name, vf: Number(vf), uppers: listUppers(`${directory}/${name}`) }];
  });
}

/** Unbinds the driver of a PCI function, on another thread. @throws {SyscallError} */
export async function unbindDriver(deviceId: string, root = ""): Promise<void> {
  const what = `unbind the driver of ${JSON.stringify(deviceId)}`;
  await write(what, `${functionDirectory(deviceId, root)}/driver/unbind`, deviceId);
}

/** Binds a driver to a PCI function, on another thread. @throws {SyscallError} with the driver's errno */
export async function bindDriver(deviceId: string, driver: string | undefined, root = ""): Promise<void> {
  functionDirectory(deviceId, root);
  const bus = `${root}/sys/bus/pci`;
  if (driver === undefined) {
    return await write(`find a driver for ${JSON.stringify(deviceId)}`, `${bus}/drivers_probe`, deviceId);
  }
  if (!isFileName(driver)) throw new RangeError(`No driver can have the name ${JSON.stringify(driver)}`);
  const what = `bind driver ${JSON.stringify(driver)} to ${JSON.stringify(deviceId)}`;
  await write(what, `${bus}/drivers/${driver}/bind`, deviceId);
}

function functionDirectory(deviceId: string, root: string): string {
  if (!PCI_ADDRESS.test(deviceId)) throw new RangeError(`${JSON.stringify(deviceId)} is not a PCI address`);
  return `${root}/sys/bus/pci/devices/${deviceId}`;
}

function readNetdev(directory: string, name: string): Netdev[] {
  const address = readText(`${directory}/address`);
  const type = readText(`${directory}/addr_assign_type`);
  if (address === undefined) return [];
  return [{
    name,
    index: Number(readText(`${directory}/ifindex`) ?? 0),
    isUp: readText(`${directory}/carrier`) === "1", // unreadable while the netdev is down
    uppers: listUppers(directory),
    address,
    isRandom: type === NET_ADDR_RANDOM,
    isPermanent: type === NET_ADDR_PERM,
  }];
}

/** The name of the port behind a netdev; "" when its driver has none. */
function readPortName(directory: string): string {
  try {
    return readText(`${directory}/phys_port_name`) ?? "";
  } catch (error) {
    if (errnoOf(error) === EOPNOTSUPP) return "";
    throw error;
  }
}

/** Each netdev on top of this one has a link here (net/core/dev.c, netdev_adjacent_sysfs_add). */
function listUppers(directory: string): string[] {
  const prefix = "upper_";
  return list(directory).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
}

/** The kernel answers with the errno of the write. */
async function write(what: string, path: string, text: string): Promise<void> {
  try {
    using file = await Deno.open(path, { write: true });
    await file.write(new TextEncoder().encode(text));
  } catch (error) {
    const errno = errnoOf(error);
    throw errno === undefined ? error : new SyscallError(what, errno);
  }
}
