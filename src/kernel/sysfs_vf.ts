/** PCI functions and their drivers by sysfs, for commands. */
import { openForWriting } from "../ffi/fd.ts";
import { SyscallError } from "./error.ts";
import { exists, isFileName, linkName, list, readText } from "./sysfs.ts";
import type { FunctionDevices, Netdev } from "./vf_kernel.ts";

/** Domain, bus, device and function, as the kernel writes them. Domains can have more than four digits. */
const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

/** uapi linux/netdevice.h. */
const NET_ADDR_PERM = "0";
const NET_ADDR_RANDOM = "1";

/** The PCI address of a netdev that has virtual functions or could have, else undefined. */
export function getPfDeviceId(netdev: string, root = "/sys"): string | undefined {
  if (!isFileName(netdev)) return undefined;
  const folder = `${root}/class/net/${netdev}/device`;
  return exists(`${folder}/sriov_totalvfs`) ? linkName(folder) : undefined;
}

/**
 * What the driver of a PCI function made. A device in another namespace leaves the folder of its class, empty
 * (drivers/base/core.c, get_device_parent and cleanup_glue_dir).
 */
export function getFunctionDevices(deviceId: string, root = "/sys"): FunctionDevices {
  const folder = functionFolder(deviceId, root);
  const netdevs = list(`${folder}/net`).flatMap((name): Netdev[] => {
    const address = readText(`${folder}/net/${name}/address`);
    const type = readText(`${folder}/net/${name}/addr_assign_type`);
    if (address === undefined) return [];
    return [{ name, address, isRandom: type === NET_ADDR_RANDOM, isPermanent: type === NET_ADDR_PERM }];
  });
  const isAway = (className: string) =>
    exists(`${folder}/${className}`) && list(`${folder}/${className}`).length === 0;
  return { netdevs, isNetdevAway: isAway("net"), isRdmaAway: isAway("infiniband") };
}

/** Takes the driver from a PCI function that has one. @throws {SyscallError} */
export function unbindDriver(deviceId: string, root = "/sys"): void {
  const what = `unbind the driver of ${JSON.stringify(deviceId)}`;
  write(what, `${functionFolder(deviceId, root)}/driver/unbind`, deviceId);
}

/** Gives a PCI function a driver, without name the one that the kernel finds. @throws {SyscallError} */
export function bindDriver(deviceId: string, driver: string | undefined, root = "/sys"): void {
  functionFolder(deviceId, root);
  const bus = `${root}/bus/pci`;
  if (driver === undefined) {
    return write(`find a driver for ${JSON.stringify(deviceId)}`, `${bus}/drivers_probe`, deviceId);
  }
  if (!isFileName(driver)) throw new RangeError(`No driver can have the name ${JSON.stringify(driver)}`);
  const what = `bind driver ${JSON.stringify(driver)} to ${JSON.stringify(deviceId)}`;
  write(what, `${bus}/drivers/${driver}/bind`, deviceId);
}

function functionFolder(deviceId: string, root: string): string {
  if (!PCI_ADDRESS.test(deviceId)) throw new RangeError(`${JSON.stringify(deviceId)} is no PCI address`);
  return `${root}/bus/pci/devices/${deviceId}`;
}

/** The kernel's answer to what is written is the errno of the write. */
function write(what: string, path: string, text: string): void {
  try {
    using file = openForWriting(path);
    file.write(new TextEncoder().encode(text));
  } catch (error) {
    throw error instanceof SyscallError ? new SyscallError(what, error.errno) : error;
  }
}
