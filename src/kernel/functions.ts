/** PCI functions and their drivers by sysfs, for commands. */
import { EOPNOTSUPP, errnoOf, SyscallError } from "../sys/errno.ts";
import type { FunctionDevices, Netdev, Representor } from "./kernel.ts";
import { exists, isFileName, linkName, linkTarget, list, readText } from "./sysfs.ts";

/** Domain, bus, device and function, as the kernel writes them. Domains can have more than four digits. */
const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

/** uapi linux/netdevice.h. */
const NET_ADDR_PERM = "0";
const NET_ADDR_RANDOM = "1";

/** The PCI address of a netdev that has virtual functions or could have, else undefined. */
export function getPfDeviceId(netdev: string, root = "/sys"): string | undefined {
  if (!isFileName(netdev)) return undefined;
  const directory = `${root}/class/net/${netdev}/device`;
  return exists(`${directory}/sriov_totalvfs`) ? linkName(directory) : undefined;
}

/**
 * What the driver of a PCI function made. A device in another namespace leaves the directory of its class, empty
 * (drivers/base/core.c, get_device_parent and cleanup_glue_dir).
 */
export function getFunctionDevices(deviceId: string, root = "/sys"): FunctionDevices {
  const directory = functionDirectory(deviceId, root);
  const netdevs = list(`${directory}/net`).flatMap((name) => readNetdev(`${directory}/net/${name}`, name));
  const isAway = (className: string) =>
    exists(`${directory}/${className}`) && list(`${directory}/${className}`).length === 0;
  return {
    netdevs,
    isNetdevAway: isAway("net"),
    isRdmaAway: isAway("infiniband"),
    vdpaDevices: list(`${root}/bus/vdpa/devices`).filter((name) =>
      linkTarget(`${root}/bus/vdpa/devices/${name}`)?.includes(`/${deviceId}/`)
    ),
  };
}

/**
 * The representors of a physical function's virtual functions: netdevs of the physical function that are named after
 * the port of a virtual function, `pf0vf3` or `c1pf0vf3` (net/devlink/port.c, __devlink_port_phys_port_name_get).
 */
export function listRepresentors(pfDeviceId: string, root = "/sys"): Representor[] {
  const directory = `${functionDirectory(pfDeviceId, root)}/net`;
  return list(directory).flatMap((name) => {
    const [, vf] = /^(?:c\d+)?pf\d+vf(\d+)$/.exec(readPortName(`${directory}/${name}`)) ?? [];
    return vf === undefined ? [] : [{ name, vf: Number(vf), uppers: listUppers(`${directory}/${name}`) }];
  });
}

/**
 * Takes the driver from a PCI function that has one. The write, which is over when the driver has gone, is made on
 * another thread, so that several functions can be worked on at once.
 *
 * @throws {SyscallError}
 */
export async function unbindDriver(deviceId: string, root = "/sys"): Promise<void> {
  const what = `unbind the driver of ${JSON.stringify(deviceId)}`;
  await write(what, `${functionDirectory(deviceId, root)}/driver/unbind`, deviceId);
}

/** Gives a PCI function a driver, without name the one that the kernel finds; likewise. @throws {SyscallError} */
export async function bindDriver(
  deviceId: string,
  driver: string | undefined,
  root = "/sys",
): Promise<void> {
  functionDirectory(deviceId, root);
  const bus = `${root}/bus/pci`;
  if (driver === undefined) {
    return await write(`find a driver for ${JSON.stringify(deviceId)}`, `${bus}/drivers_probe`, deviceId);
  }
  if (!isFileName(driver)) throw new RangeError(`No driver can have the name ${JSON.stringify(driver)}`);
  const what = `bind driver ${JSON.stringify(driver)} to ${JSON.stringify(deviceId)}`;
  await write(what, `${bus}/drivers/${driver}/bind`, deviceId);
}

function readNetdev(directory: string, name: string): Netdev[] {
  const address = readText(`${directory}/address`);
  const type = readText(`${directory}/addr_assign_type`);
  if (address === undefined) return [];
  return [{
    name,
    index: Number(readText(`${directory}/ifindex`) ?? 0),
    isUp: readText(`${directory}/carrier`) === "1", // it cannot be read while the netdev is switched off
    uppers: listUppers(directory),
    address,
    isRandom: type === NET_ADDR_RANDOM,
    isPermanent: type === NET_ADDR_PERM,
  }];
}

/** The name of the port behind a netdev; "" when its driver knows of none, which is EOPNOTSUPP. */
function readPortName(directory: string): string {
  try {
    return readText(`${directory}/phys_port_name`) ?? "";
  } catch (error) {
    if (errnoOf(error) === EOPNOTSUPP) return "";
    throw error;
  }
}

/** What is on top of a netdev has a link there (net/core/dev.c, netdev_adjacent_sysfs_add). */
function listUppers(directory: string): string[] {
  const prefix = "upper_";
  return list(directory).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
}

function functionDirectory(deviceId: string, root: string): string {
  if (!PCI_ADDRESS.test(deviceId)) throw new RangeError(`${JSON.stringify(deviceId)} is no PCI address`);
  return `${root}/bus/pci/devices/${deviceId}`;
}

/** The kernel's answer to what is written is the errno of the write. */
async function write(what: string, path: string, text: string): Promise<void> {
  try {
    using file = await Deno.open(path, { write: true });
    await file.write(new TextEncoder().encode(text));
  } catch (error) {
    const errno = errnoOf(error);
    throw errno === undefined ? error : new SyscallError(what, errno);
  }
}
