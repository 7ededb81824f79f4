/**
 * The state of virtual functions: what they are, whether RDMA connections can be made with them, and who has
 * them.
 */
import type { BusDevice } from "../kernel/kernel.ts";
import type {
  FunctionDevices,
  NodeKernel,
  PhysicalFunction,
  RdmaNode,
  Representor,
} from "../kernel/node_kernel.ts";
import { NetlinkError } from "../netlink/error.ts";
import { isAway } from "../plugin/device.ts";
import { EINVAL } from "../sys/errno.ts";
import { type DeviceLocations, listRdmaNodes, locateDevices } from "../cli/vf_mac/locations.ts";
import { formatGuid, NO_MAC, portGuidOf } from "./addresses.ts";

/** A virtual function and whether RDMA connections can be made with it. */
export interface VfStatus {
  /** The netdev of its physical function. */
  readonly pf: string;
  readonly number: number;
  /** Its PCI address. */
  readonly deviceId: string;
  readonly driver?: string;
  readonly netdev?: string;
  /** Where the netdev is if not on the host: a path, or a description if there is none. */
  readonly netdevNetns?: string;
  readonly isInfiniBand: boolean;
  /** The address that the physical function gave it; all zeros when none was set, and on InfiniBand. */
  readonly adminMac: string;
  /** On InfiniBand, if the driver shows it; zero when none was set. */
  readonly adminNodeGuid?: string;
  readonly adminPortGuid?: string;
  /** The address of its netdev: six bytes, on InfiniBand twenty. */
  readonly effectiveMac?: string;
  /** The port GUID of its netdev, on InfiniBand. */
  readonly portGuid?: string;
  /** The driver made up the effective address, which changes at a reboot. */
  readonly hasRandomMac: boolean;
  /** The effective address came from the hardware or the physical function. */
  readonly hasPermanentMac: boolean;
  /** Its first RDMA device. */
  readonly rdmaDevice?: string;
  /** Where the RDMA device is, like `netdevNetns`. */
  readonly rdmaNetns?: string;
  /** A process in the namespace that has one of the two, and its container. */
  readonly heldBy?: string;
  /** The node GUID of its first RDMA device, as `rdma dev` writes it. */
  readonly nodeGuid?: string;
  /** What the host does with it, for people. */
  readonly usedByHost?: string;
  /**
   * RDMA CM works, and will after the next rebind: it has RDMA devices, none of them has node GUID zero, and the node
   * GUID does not come from an administrative address that has been taken back.
   */
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reason?: string;
}

/** The reason that no address can fix. */
export const NO_RDMA_DEVICE = "no RDMA device";

/** The reason that an address fixes without a rebind. */
export const NO_ADMIN_ADDRESS = "no administrative address, so the next rebind may lose the node GUID";

const UNKNOWN = "a network namespace that cannot be found";

/**
 * Lists the virtual functions of physical functions. A missing RDMA subsystem is not an error.
 *
 * @param pfs all of the host namespace by default
 * @throws {SyscallError} or {NetlinkError} when the kernel does not answer
 */
export function listVfs(
  kernel: NodeKernel,
  pfs: readonly PhysicalFunction[] = kernel.listPhysicalFunctions(),
): VfStatus[] {
  const onHost = listRdmaNodes(kernel, kernel.getHostNetns());
  const addressed = kernel.listAddressedLinks();
  let locations: DeviceLocations | undefined;
  // Only searched when a device is not on the host.
  const getLocations = () => locations ??= locateDevices(kernel);
  return pfs.flatMap((pf) => {
    const representors = kernel.listRepresentors(pf);
    return pf.vfs.map((vf): VfStatus => {
      const bus = kernel.getBusDevice(vf.deviceId);
      const devices = kernel.getFunctionDevices(vf.deviceId);
      const { here, away, netns, heldBy } = findNodes(bus, devices, onHost, getLocations);
      const representor = representors.find((one) => one.vf === vf.number);
      const usedByHost = describeHostUse(kernel, { ...devices, rdmaNodes: here, representor }, addressed);
      const nodes = [...here, ...away];
      const [node] = nodes;
      const mayLoseGuid = !pf.isInfiniBand && vf.mac === NO_MAC && devices.netdevs[0]?.isRandom === false;
      const reason = explainNotReady(bus?.driver, nodes, netns !== undefined, mayLoseGuid);
      return {
        pf: pf.name,
        number: vf.number,
        deviceId: vf.deviceId,
        ...(bus?.driver === undefined ? {} : { driver: bus.driver }),
        ...addressFacts(pf, vf),
        ...netdevFacts(devices, vf.deviceId, getLocations),
        ...(node ? { rdmaDevice: node.name, nodeGuid: formatGuid(node.nodeGuid) } : {}),
        ...(netns === undefined ? {} : { rdmaNetns: netns }),
        ...(heldBy === undefined ? {} : { heldBy }),
        ...(usedByHost === undefined ? {} : { usedByHost }),
        ready: reason === undefined,
        ...(reason === undefined ? {} : { reason }),
      };
    });
  });
}

/** Whether a driver passes the function to virtual machines. */
export function isForVirtualMachines(driver: string | undefined): boolean {
  return driver !== undefined && /vfio/.test(driver);
}

/** A virtual function in a sentence: `VF 3 of eth0 (0000:01:10.6)`. */
export function nameOf({ pf, number, deviceId }: Pick<VfStatus, "pf" | "number" | "deviceId">): string {
  return `VF ${number} of ${pf} (${deviceId})`;
}

/**
 * The administrative addresses. The kernel also shows MAC addresses of InfiniBand functions, which mean
 * nothing.
 */
function addressFacts({ isInfiniBand }: PhysicalFunction, { mac, guids }: PhysicalFunction["vfs"][number]) {
  if (!isInfiniBand) return { isInfiniBand, adminMac: mac };
  if (!guids) return { isInfiniBand, adminMac: NO_MAC };
  const { node, port } = guids;
  return {
    isInfiniBand,
    adminMac: NO_MAC,
    adminNodeGuid: formatGuid(node),
    adminPortGuid: formatGuid(port),
  };
}

function netdevFacts(
  { netdevs: [netdev], isNetdevAway }: FunctionDevices,
  deviceId: string,
  getLocations: () => DeviceLocations,
) {
  if (netdev) {
    return {
      netdev: netdev.name,
      ...effectiveFacts(netdev.address),
      hasRandomMac: netdev.isRandom,
      hasPermanentMac: netdev.isPermanent,
    };
  }
  const nothing = { hasRandomMac: false, hasPermanentMac: false };
  if (!isNetdevAway) return nothing;
  const located = getLocations().links.find(({ device }) => device.parentDevice === deviceId); // kernel 5.14
  if (!located) return { ...nothing, netdevNetns: UNKNOWN };
  const { name, address } = located.device;
  return {
    ...nothing,
    netdev: name,
    netdevNetns: located.netns,
    ...(located.heldBy === undefined ? {} : { heldBy: located.heldBy }),
    ...(address === undefined ? {} : effectiveFacts(address)),
  };
}

function effectiveFacts(address: string) {
  const portGuid = portGuidOf(address);
  return { effectiveMac: address, ...(portGuid === undefined ? {} : { portGuid: formatGuid(portGuid) }) };
}

/** The RDMA devices of a function, and where the first one is that the host does not have. */
function findNodes(
  bus: BusDevice | undefined,
  { isRdmaAway }: FunctionDevices,
  onHost: readonly RdmaNode[],
  getLocations: () => DeviceLocations,
): { here: RdmaNode[]; away: RdmaNode[]; netns?: string; heldBy?: string } {
  if (!bus) return { here: [], away: [] };
  const here = onHost.filter(({ name }) => bus.rdmaDevices.includes(name));
  if (!isRdmaAway && !isAway(bus)) return { here, away: [] };
  const located = getLocations().rdmaNodes.filter(({ uverbs }) =>
    bus.uverbs.some(({ name }) => name === uverbs)
  );
  const { netns = UNKNOWN, heldBy } = located[0] ?? {};
  const away = located.map(({ device }) => device);
  return { here, away, netns, ...(heldBy === undefined ? {} : { heldBy }) };
}

/**
 * Which MAC address it has does not matter: a pod may have set another one, which leaves the node GUID as it is.
 *
 * @param mayLoseGuid it has no administrative address, but its netdev one that its driver did not make up: the driver
 *   was bound when there was one, or the hardware has it. A driver that makes a node GUID of a made-up address will
 *   do so again. In a pod the kinds of addresses are not known.
 */
function explainNotReady(
  driver: string | undefined,
  nodes: readonly RdmaNode[],
  isRdmaAway: boolean,
  mayLoseGuid: boolean,
): string | undefined {
  if (driver === undefined) return "no driver is bound";
  if (isForVirtualMachines(driver)) return `bound to ${driver}, for virtual machines`;
  if (nodes.length === 0 && !isRdmaAway) return NO_RDMA_DEVICE;
  if (nodes.some(({ nodeGuid }) => nodeGuid === 0n)) return "node GUID is zero";
  return mayLoseGuid ? NO_ADMIN_ADDRESS : undefined;
}

/** The devices of a virtual function that are in the host namespace. */
interface HostDevices extends FunctionDevices {
  readonly rdmaNodes: readonly RdmaNode[];
  /** In switchdev mode. */
  readonly representor: Representor | undefined;
}

/**
 * What the host does with a virtual function, so that it must not be unbound: traffic of its netdev or of
 * netdevs on top of it, programs that have its RDMA device open, a vDPA device, or a representor in a bridge.
 * A netdev that is up without carrier and address is not in use.
 *
 * @param addressed indexes of the host's links that have an IP address
 * @returns a clause for people, or undefined when the host does not use it
 */
function describeHostUse(
  kernel: NodeKernel,
  { netdevs, rdmaNodes, vdpaDevices: [vdpa], representor }: HostDevices,
  addressed: ReadonlySet<number>,
): string | undefined {
  for (const { name, index, isUp, uppers } of netdevs) {
    const netdev = `its netdev ${JSON.stringify(name)}`;
    if (uppers.length > 0) return `${netdev} is below ${quoteAll(uppers)}`;
    if (addressed.has(index)) return `${netdev} has an IP address`;
    if (isUp) return `${netdev} is up and has a carrier`;
  }
  for (const { name, index } of rdmaNodes) {
    const count = countContexts(kernel, index);
    if (count > 0n) return `programs have its RDMA device ${JSON.stringify(name)} open (${count} contexts)`;
  }
  if (vdpa !== undefined) return `it has the vDPA device ${JSON.stringify(vdpa)}`;
  if (!representor || representor.uppers.length === 0) return undefined;
  return `its representor ${JSON.stringify(representor.name)} is in ${quoteAll(representor.uppers)}`;
}

/**
 * How often programs have an RDMA device open. The kernel's own use of every device (queues for management
 * datagrams, listeners of servers) does not count, since the kernel restores it after a bind.
 */
function countContexts(kernel: NodeKernel, index: number): bigint {
  try {
    return kernel.getHostNetns().listResources(index).find(({ kind }) => kind === "ctx")?.count ?? 0n;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === EINVAL) return 0n; // it is gone meanwhile
    throw error;
  }
}

function quoteAll(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(", ");
}
