/** The virtual functions of a node: their addresses, whether RDMA connections can be made with them, and who has them. */
import { type BusDevice, unlessRefused } from "../kernel/kernel.ts";
import type {
  FunctionDevices,
  NodeKernel,
  PhysicalFunction,
  RdmaNode,
  Representor,
} from "../kernel/node_kernel.ts";
import { isAway } from "../plugin/device/device.ts";
import { EINVAL, quoteAll } from "../sys/errno.ts";
import { formatGuid, NO_MAC, parsePortGuid } from "./addresses.ts";
import { askRdma, listNamespaces, type Namespace } from "./inventory.ts";

/** A virtual function and whether RDMA connections can be made with it. */
export interface VfStatus {
  /** The netdev of its physical function. */
  readonly pf: string;
  readonly number: number;
  /** Its PCI address. */
  readonly deviceId: string;
  readonly driver?: string | undefined;
  readonly netdev?: string | undefined;
  /** The namespace of the netdev if not the host's: a path, or a description if there is none. */
  readonly netdevNetns?: string | undefined;
  readonly isInfiniBand: boolean;
  /** The address that the physical function gave it; all zeros when none was set, and on InfiniBand. */
  readonly adminMac: string;
  /** On InfiniBand, if the driver shows it; zero when none was set. */
  readonly adminNodeGuid?: string | undefined;
  readonly adminPortGuid?: string | undefined;
  /** The address of its netdev: six bytes, on InfiniBand twenty. */
  readonly effectiveMac?: string | undefined;
  /** The port GUID of its netdev, on InfiniBand. */
  readonly portGuid?: string | undefined;
  /** The driver made up the effective address, which changes at a reboot. */
  readonly hasRandomMac: boolean;
  /** The effective address came from the hardware or the physical function. */
  readonly hasPermanentMac: boolean;
  /** Its first RDMA device. */
  readonly rdmaDevice?: string | undefined;
  /** The namespace of the RDMA device, like `netdevNetns`. */
  readonly rdmaNetns?: string | undefined;
  /** A process in the namespace that has one of the two, and its container. */
  readonly heldBy?: string | undefined;
  /** The node GUID of its first RDMA device, as `rdma dev` writes it. */
  readonly nodeGuid?: string | undefined;
  /** The host's use of it, for people. */
  readonly usedByHost?: string | undefined;
  /**
   * RDMA CM works, and will after the next rebind: it has RDMA devices, none of them has node GUID zero, and on Ethernet
   * it has an administrative address.
   */
  readonly ready: boolean;
  /** The reason that it is not ready. */
  readonly reason?: string | undefined;
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
 * @param walk lists the other namespaces; only called when a device is not on the host
 * @throws {SyscallError} or {NetlinkError} when the kernel does not answer
 */
export function listVfs(
  kernel: NodeKernel,
  pfs: readonly PhysicalFunction[] = kernel.listPhysicalFunctions(),
  walk: () => readonly Namespace[] = () => listNamespaces(kernel).namespaces,
): VfStatus[] {
  const onHost = askRdma(() => kernel.listRdmaNodes(kernel.getHostNetns())) ?? [];
  const addressed = kernel.listAddressedLinks();
  let walked: readonly Namespace[] | undefined;
  const getNamespaces = () => walked ??= walk();
  return pfs.flatMap((pf) => {
    const representors = kernel.listRepresentors(pf.deviceId);
    return pf.vfs.map((vf): VfStatus => {
      const bus = kernel.getBusDevice(vf.deviceId);
      const devices = kernel.getFunctionDevices(vf.deviceId);
      const here = onHost.filter(({ name }) => bus?.rdmaDevices.includes(name));
      const away = bus && (devices.isRdmaAway || isAway(bus)) ? findAway(bus, getNamespaces()) : undefined;
      const representor = representors.find((one) => one.vf === vf.number);
      const usedByHost = describeHostUse(kernel, { ...devices, rdmaNodes: here, representor }, addressed);
      const nodes = [...here, ...away?.nodes ?? []];
      const [node] = nodes;
      const mayLoseGuid = !pf.isInfiniBand && vf.mac === NO_MAC;
      const reason = explainNotReady(bus?.driver, nodes, away !== undefined, mayLoseGuid);
      return {
        pf: pf.name,
        number: vf.number,
        deviceId: vf.deviceId,
        driver: bus?.driver,
        ...addressFacts(pf, vf),
        ...netdevFacts(devices, vf.deviceId, getNamespaces),
        ...(node ? { rdmaDevice: node.name, nodeGuid: formatGuid(node.nodeGuid) } : {}),
        ...(away ? placeFacts("rdmaNetns", away.namespace) : {}),
        usedByHost,
        ready: reason === undefined,
        reason,
      };
    });
  });
}

/** Tells whether a driver passes the function to virtual machines. */
export function isForVirtualMachines(driver: string | undefined): boolean {
  return driver !== undefined && /vfio/.test(driver);
}

/** A virtual function in a sentence: `VF 3 of eth0 (0000:01:10.6)`. */
export function nameVf({ pf, number, deviceId }: Pick<VfStatus, "pf" | "number" | "deviceId">): string {
  return `VF ${number} of ${pf} (${deviceId})`;
}

/** The administrative addresses. On InfiniBand the kernel shows MAC addresses too, which mean nothing. */
function addressFacts({ isInfiniBand }: PhysicalFunction, { mac, guids }: PhysicalFunction["vfs"][number]) {
  if (!isInfiniBand) return { isInfiniBand, adminMac: mac };
  if (!guids) return { isInfiniBand, adminMac: NO_MAC };
  const { node, port } = guids;
  const [adminNodeGuid, adminPortGuid] = [formatGuid(node), formatGuid(port)];
  return { isInfiniBand, adminMac: NO_MAC, adminNodeGuid, adminPortGuid };
}

function netdevFacts(
  { netdevs: [netdev], isNetdevAway }: FunctionDevices,
  deviceId: string,
  getNamespaces: () => readonly Namespace[],
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
  const [found] = getNamespaces().flatMap((namespace) => {
    const link = namespace.links.find(({ parentDevice }) => parentDevice === deviceId); // kernel 5.14
    return link ? [{ namespace, link }] : [];
  });
  return {
    ...nothing,
    netdev: found?.link.name,
    ...placeFacts("netdevNetns", found?.namespace),
    ...(found?.link.address === undefined ? {} : effectiveFacts(found.link.address)),
  };
}

/** Returns where a device is, and a process of that namespace. */
function placeFacts(key: "netdevNetns" | "rdmaNetns", namespace: Namespace | undefined) {
  if (!namespace) return { [key]: UNKNOWN };
  const { inode, paths, processes } = namespace;
  const netns = paths[0] ?? `network namespace ${inode}`;
  const first = processes.find(({ onlyOpen }) => !onlyOpen) ?? processes[0];
  if (!first) return { [key]: netns };
  const container = first.containerId === undefined ? "" : `, container ${first.containerId.slice(0, 12)}`;
  const heldBy = `process ${first.pid} ${JSON.stringify(first.command.slice(0, 40))}${container}`;
  return { [key]: netns, heldBy };
}

function effectiveFacts(address: string) {
  const portGuid = parsePortGuid(address);
  return { effectiveMac: address, portGuid: portGuid === undefined ? undefined : formatGuid(portGuid) };
}

/** Returns the RDMA devices of a function that the host does not have, and the namespace of the first. */
function findAway({ uverbs }: BusDevice, namespaces: readonly Namespace[]) {
  const own = uverbs.map(({ name }) => name);
  const found = namespaces.flatMap((namespace) =>
    namespace.devices.filter((device) => device.uverbs !== undefined && own.includes(device.uverbs))
      .map((node) => ({ node, namespace }))
  );
  return { nodes: found.map(({ node }) => node), namespace: found[0]?.namespace };
}

/**
 * Returns the reason that a function is not ready. Its MAC address does not matter: a pod may have set another one, which
 * leaves the node GUID as it is.
 *
 * @param mayLoseGuid it has no administrative address, from which the driver would make the node GUID at the next rebind
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
 * Describes the host's use of a virtual function, for which it must not be unbound: traffic of its netdev or of
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
 * Counts how often programs have an RDMA device open. The kernel's own use of every device (queues for management
 * datagrams, listeners of servers) does not count, since the kernel restores it after a bind.
 */
function countContexts(kernel: NodeKernel, index: number): bigint {
  // EINVAL: it is gone meanwhile.
  const resources = unlessRefused([EINVAL], () => kernel.getHostNetns().listResources(index)) ?? [];
  return resources.find(({ kind }) => kind === "ctx")?.count ?? 0n;
}
