import { ifPresent } from "../../../../src/sys/files.ts";
import { shOk } from "./sh.ts";

export interface NetworkFunction {
  /** PCI address, or name on the auxiliary bus. */
  deviceId: string;
  /** Undefined if it has none, or not in this network namespace. IPoIB interfaces do not count. */
  netdev: string | undefined;
  mac: string | undefined;
  /** Names in the order of their numbers; those in other network namespaces are missing. */
  rdmaDevices: string[];
}

export interface CompleteFunction {
  deviceId: string;
  netdev: string;
  mac: string;
  rdmaDevice: string;
}

const PCI = "/sys/bus/pci/devices";
const AUXILIARY = "/sys/bus/auxiliary/devices";
const PARAMETERS = "/sys/module/rdma_sim/parameters";

export function pf(): NetworkFunction {
  const address = names(PCI).find((name) => names(`${PCI}/${name}`).includes("virtfn0"));
  if (address === undefined) throw new Error("No PCI function has VFs");
  return readFunction(PCI, address);
}

export function vfs(): NetworkFunction[] {
  const directory = `${PCI}/${pf().deviceId}`;
  return names(directory).filter((name) => name.startsWith("virtfn")).sort(byNumber)
    .map((link) => readFunction(PCI, Deno.readLinkSync(`${directory}/${link}`).split("/").at(-1)!));
}

export function sfs(): NetworkFunction[] {
  return names(AUXILIARY).filter((name) => name.startsWith("rdma_sim.sf.")).sort(byNumber)
    .map((name) => readFunction(AUXILIARY, name));
}

export const allFunctions = (): NetworkFunction[] => [pf(), ...vfs(), ...sfs()];

/** One VF. @throws {Error} if its netdev or RDMA device is not in the initial network namespace */
export const vf = (index: number): CompleteFunction => complete(vfs()[index], `VF ${index}`);
export const sf = (index: number): CompleteFunction => complete(sfs()[index], `Scalable function ${index}`);

function complete(found: NetworkFunction | undefined, what: string): CompleteFunction {
  const { deviceId, netdev, mac, rdmaDevices: [rdmaDevice] = [] } = found ?? {};
  if (deviceId === undefined || netdev === undefined || mac === undefined || rdmaDevice === undefined) {
    throw new Error(`${what} is not complete: ${JSON.stringify(found)}`);
  }
  return { deviceId, netdev, mac, rdmaDevice };
}

/** PCI addresses of the virtual functions to which a case gave an administrative address, which sysfs does not show. */
export const readdressed = new Set<string>();

export function unbind(pciAddress: string): void {
  if (!names(`${PCI}/${pciAddress}`).includes("driver")) return;
  Deno.writeTextFileSync(`${PCI}/${pciAddress}/driver/unbind`, pciAddress);
}

/** Lets the kernel find a driver for a PCI function; netdev and RDMA devices are there when this returns. */
export function bind(pciAddress: string): void {
  Deno.writeTextFileSync("/sys/bus/pci/drivers_probe", pciAddress);
}

export function rebind(pciAddress: string): void {
  unbind(pciAddress);
  bind(pciAddress);
}

/** The kernel's text of a parameter of our kernel module; see `modinfo` of it, or its source. */
export const simParameter = (name: string) => Deno.readTextFileSync(`${PARAMETERS}/${name}`).trim();

/** Sets a parameter of our kernel module. Most count from the next bind of a function. */
export function setSimParameter(name: string, value: string | number | boolean): void {
  const text = typeof value === "boolean" ? (value ? "Y" : "N") : `${value}`;
  Deno.writeTextFileSync(`${PARAMETERS}/${name}`, text);
}

/** How long the kernel takes with a device that it removes from a namespace, or adds to one, those under way included. */
export function setSlowness({ removeMs = 0, addMs = 0 }: { removeMs?: number; addMs?: number }): void {
  setSimParameter("remove_ms", removeMs);
  setSimParameter("add_ms", addMs);
}

export function simParameters(): Map<string, string> {
  const settable = names(PARAMETERS).filter((name) =>
    (Deno.statSync(`${PARAMETERS}/${name}`).mode! & 0o200) !== 0
  );
  return new Map(settable.map((name) => [name, simParameter(name)]));
}

function readFunction(bus: string, deviceId: string): NetworkFunction {
  const netdev = names(`${bus}/${deviceId}/net`).find((name) => !isIpoib(name));
  const address = () => Deno.readTextFileSync(`/sys/class/net/${netdev}/address`).trim();
  const mac = netdev && ifPresent(address, ["ENOENT", "EINVAL"]); // it may be vanishing
  const rdmaDevices = names(`${bus}/${deviceId}/infiniband`).sort(byNumber);
  return { deviceId, netdev, mac, rdmaDevices };
}

/** Names of a function's RDMA devices, wherever they are; sub-devices are missing. */
export function deviceNames(deviceId: string): string[] {
  return [PCI, AUXILIARY].flatMap((bus) => {
    const directory = `${bus}/${deviceId}/infiniband_verbs`;
    // A device may go between the two looks.
    const found = names(directory).map((uverbs) =>
      ifPresent(() => Deno.readTextFileSync(`${directory}/${uverbs}/ibdev`), ["ENOENT", "ENODEV"])
    );
    return found.flatMap((name) => name === undefined ? [] : [name.trim()]);
  }).sort(byNumber);
}

/** Gives a VF one RDMA device, with an InfiniBand port, and with it an IPoIB interface, until the case ends. */
export async function makeInfiniBand(deviceId: string): Promise<{ rdmaDevice: string; netdev: string }> {
  await shOk(`modprobe --dirname "$MODULES" ib_ipoib`);
  setSimParameter("infiniband", true);
  rebind(deviceId);
  const [rdmaDevice] = names(`${PCI}/${deviceId}/infiniband`);
  return { rdmaDevice: rdmaDevice!, netdev: ipoibOf(deviceId)! };
}

export function ipoibOf(deviceId: string): string | undefined {
  return names(`${PCI}/${deviceId}/net`).find(isIpoib);
}

/** Whether a name is one that the kernel gives IPoIB interfaces. */
const isIpoib = (name: string) => /^ib\d/.test(name);

/** What a directory contains; nothing, if there is none. */
export function names(directory: string): string[] {
  return ifPresent(() => [...Deno.readDirSync(directory)].map(({ name }) => name)) ?? [];
}

const byNumber = (a: string, b: string) => a.localeCompare(b, "en", { numeric: true });
