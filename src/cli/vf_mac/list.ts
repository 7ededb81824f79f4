/** Virtual functions as people read them. */
import type {
  BusDevice,
  FunctionDevices,
  NodeKernel,
  PhysicalFunction,
  RdmaNode,
} from "../../kernel/kernel.ts";
import { isAway } from "../../plugin/device.ts";
import { listRdmaNodes, Whereabouts } from "./whereabouts.ts";
import { describeHostUse } from "./host_use.ts";
import { formatGuid, NO_MAC, portGuidOf } from "./mac.ts";

/** A virtual function and whether RDMA connections can be made with it. */
export interface VfStatus {
  /** The netdev of its physical function. */
  readonly pf: string;
  readonly number: number;
  /** Its PCI address. */
  readonly deviceId: string;
  readonly driver?: string;
  readonly netdev?: string;
  /** Where the netdev is if not on the host: a path, or words where there is none. */
  readonly netdevNetns?: string;
  readonly isInfiniBand: boolean;
  /** What the physical function gave it; all zeros when it gave nothing, and on InfiniBand. */
  readonly adminMac: string;
  /** What the physical function gave it on InfiniBand, if its driver shows that; zero when it gave nothing. */
  readonly adminNodeGuid?: string;
  readonly adminPortGuid?: string;
  /** What its netdev has: six bytes, on InfiniBand twenty. */
  readonly effectiveMac?: string;
  /** Of its netdev on InfiniBand. */
  readonly portGuid?: string;
  /** Its driver made up the effective address, which will be another one after a reboot. */
  readonly hasRandomMac: boolean;
  /** The effective address is the one that the hardware or the physical function gave. */
  readonly hasPermanentMac: boolean;
  /** Its first RDMA device. */
  readonly rdmaDevice?: string;
  /** Likewise for the RDMA device. */
  readonly rdmaNetns?: string;
  /** A process that holds the namespace which has one of the two, and its container. */
  readonly heldBy?: string;
  /** Of its first RDMA device, as `rdma dev` writes it. */
  readonly nodeGuid?: string;
  /** What the host itself does with it, a clause for people. */
  readonly usedByHost?: string;
  /** The RDMA connection manager can use it: it has RDMA devices, and none of them has node GUID zero. */
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reason?: string;
}

/** The reason that no address can fix. */
export const NO_RDMA_DEVICE = "no RDMA device";

const UNKNOWN = "a network namespace that cannot be found";

/**
 * The virtual functions of all physical functions in this namespace, or of some.
 *
 * @param pfs whose virtual functions are wanted
 * @throws {SyscallError} or {NetlinkError} when the kernel does not answer; a missing RDMA subsystem is no failure
 */
export function listVfs(
  kernel: NodeKernel,
  pfs: readonly PhysicalFunction[] = kernel.listPhysicalFunctions(),
): VfStatus[] {
  const onHost = listRdmaNodes(kernel, kernel.getHostNetns());
  const addressed = kernel.listAddressedLinks();
  let whereabouts: Whereabouts | undefined;
  const search = () => whereabouts ??= new Whereabouts(kernel); // only when something is away
  return pfs.flatMap((pf) => {
    const representors = kernel.listRepresentors(pf);
    return pf.vfs.map((vf): VfStatus => {
      const bus = kernel.getBusDevice(vf.deviceId);
      const devices = kernel.getFunctionDevices(vf.deviceId);
      const { here, away, netns, heldBy } = findNodes(bus, devices, onHost, search);
      const representor = representors.find((one) => one.vf === vf.number);
      const usedByHost = describeHostUse(kernel, { ...devices, rdmaNodes: here, representor }, addressed);
      const nodes = [...here, ...away];
      const [node] = nodes;
      const reason = whyNotReady(bus?.driver, nodes, netns !== undefined);
      return {
        pf: pf.name,
        number: vf.number,
        deviceId: vf.deviceId,
        ...(bus?.driver === undefined ? {} : { driver: bus.driver }),
        ...addressFacts(pf, vf),
        ...netdevFacts(devices, vf.deviceId, search),
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

/** Whether a driver hands the function to virtual machines, which then decide what it does. */
export function isForVirtualMachines(driver: string | undefined): boolean {
  return driver !== undefined && /vfio/.test(driver);
}

/** What the physical function gave; the kernel shows MAC addresses of InfiniBand functions too, which mean nothing. */
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
  search: () => Whereabouts,
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
  const located = search().netdevOf(deviceId);
  if (!located) return { ...nothing, netdevNetns: UNKNOWN };
  const { name, address } = located.found;
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

/** The RDMA devices of a function, and where the first one is that is away. */
function findNodes(
  bus: BusDevice | undefined,
  { isRdmaAway }: FunctionDevices,
  onHost: readonly RdmaNode[],
  search: () => Whereabouts,
): { here: RdmaNode[]; away: RdmaNode[]; netns?: string; heldBy?: string } {
  if (!bus) return { here: [], away: [] };
  const here = onHost.filter(({ name }) => bus.rdmaDevices.includes(name));
  if (!isRdmaAway && !isAway(bus)) return { here, away: [] };
  const located = search().rdmaNodesOf(bus.uverbs.map(({ name }) => name));
  const { netns = UNKNOWN, heldBy } = located[0] ?? {};
  const away = located.map(({ found }) => found);
  return { here, away, netns, ...(heldBy === undefined ? {} : { heldBy }) };
}

/** MAC addresses are not asked about: a pod may have one of its own, which leaves the node GUID as it is. */
function whyNotReady(
  driver: string | undefined,
  nodes: readonly RdmaNode[],
  isRdmaAway: boolean,
): string | undefined {
  if (driver === undefined) return "no driver is bound";
  if (isForVirtualMachines(driver)) return `bound to ${driver}, for virtual machines`;
  if (nodes.length === 0 && !isRdmaAway) return NO_RDMA_DEVICE;
  return nodes.some(({ nodeGuid }) => nodeGuid === 0n) ? "node GUID is zero" : undefined;
}

const HEADINGS = [
  [
    "PF",
    "VF",
    "PCI ADDRESS",
    "DRIVER",
    "NETDEV",
    "ADMIN ADDRESS",
    "EFFECTIVE ADDRESS",
    "RDMA",
    "NODE GUID",
    "READY",
  ],
] as const;

/** A virtual function in a sentence: `VF 3 of eth0 (0000:01:10.6)`. */
export function nameOf({ pf, number, deviceId }: Pick<VfStatus, "pf" | "number" | "deviceId">): string {
  return `VF ${number} of ${pf} (${deviceId})`;
}

/** A table with a line for each virtual function; what there is not is a dash. */
export function formatTable(vfs: readonly VfStatus[]): string {
  const rows = [
    ...HEADINGS,
    ...vfs.map((vf) => [
      vf.pf,
      String(vf.number),
      vf.deviceId,
      vf.driver ?? "-",
      located(vf.netdev, vf.netdevNetns),
      adminAddress(vf),
      vf.portGuid ?? vf.effectiveMac ?? "-",
      located(vf.rdmaDevice, vf.rdmaNetns),
      vf.nodeGuid ?? "-",
      vf.ready ? "yes" : `no: ${vf.reason}`,
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd() + "\n"
  )
    .join("");
}

/** On InfiniBand the GUIDs: one if node and port have the same. */
function adminAddress({ isInfiniBand, adminMac, adminNodeGuid, adminPortGuid }: VfStatus): string {
  if (!isInfiniBand) return adminMac;
  if (adminNodeGuid === undefined) return "-";
  return adminNodeGuid === adminPortGuid ? adminNodeGuid : `${adminNodeGuid}, port ${adminPortGuid}`;
}

function located(name: string | undefined, netns: string | undefined): string {
  if (netns === undefined) return name ?? "-";
  return `${name ?? "one"} in ${netns}`;
}
