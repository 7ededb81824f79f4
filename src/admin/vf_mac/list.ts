import type { AdminKernel } from "../../kernel/admin_kernel.ts";
import type { BusDevice } from "../../kernel/kernel.ts";
import type { FunctionDevices, PhysicalFunction, RdmaNode } from "../../kernel/vf_kernel.ts";
import { isAway } from "../../plugin/device.ts";
import { fitsMac, formatGuid } from "./guid.ts";
import { NO_MAC } from "./mac.ts";
import { listRdmaNodes, Whereabouts } from "./whereabouts.ts";

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
  /** What the physical function gave it; all zeros when it gave nothing. */
  readonly adminMac: string;
  /** What its netdev has. */
  readonly effectiveMac?: string;
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
  /** The RDMA connection manager can use it. */
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reason?: string;
}

/** The reason that no address can mend. */
export const NO_RDMA_DEVICE = "no RDMA device";

const UNKNOWN = "a network namespace that cannot be found";

/**
 * The virtual functions of all physical functions in this namespace, or of some.
 *
 * @param pfs whose virtual functions are wanted
 * @throws {SyscallError} or {NetlinkError} when the kernel does not answer; a missing RDMA subsystem is no failure
 */
export function listVfs(
  kernel: AdminKernel,
  pfs: readonly PhysicalFunction[] = kernel.listPhysicalFunctions(),
): VfStatus[] {
  const atHome = listRdmaNodes(kernel, kernel.hostNetns);
  let whereabouts: Whereabouts | undefined;
  const search = () => whereabouts ??= new Whereabouts(kernel); // only when something is away
  return pfs.flatMap((pf) =>
    pf.vfs.map((vf) => {
      const bus = kernel.getBusDevice(vf.deviceId);
      const devices = kernel.getFunctionDevices(vf.deviceId);
      const facts = {
        pf: pf.name,
        number: vf.number,
        deviceId: vf.deviceId,
        ...(bus?.driver === undefined ? {} : { driver: bus.driver }),
        adminMac: vf.mac,
        ...netdevFacts(devices, vf.deviceId, search),
      };
      const { nodes, netns, heldBy } = findNodes(bus, devices, atHome, search);
      const [node] = nodes;
      const reason = whyNotReady(facts, pf, nodes, netns !== undefined);
      return {
        ...facts,
        ...(node ? { rdmaDevice: node.name, nodeGuid: formatGuid(node.nodeGuid) } : {}),
        ...(netns === undefined ? {} : { rdmaNetns: netns }),
        ...(heldBy === undefined ? {} : { heldBy }),
        ready: reason === undefined,
        ...(reason === undefined ? {} : { reason }),
      };
    })
  );
}

/** Whether a driver hands the function to virtual machines, which then decide what it does. */
export function isForVirtualMachines(driver: string | undefined): boolean {
  return driver !== undefined && /vfio/.test(driver);
}

function netdevFacts(
  { netdevs: [netdev], isNetdevAway }: FunctionDevices,
  deviceId: string,
  search: () => Whereabouts,
) {
  if (netdev) {
    return {
      netdev: netdev.name,
      effectiveMac: netdev.address,
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
    ...(address === undefined ? {} : { effectiveMac: address }),
  };
}

/** The RDMA devices of a function, wherever they are, and where the first one is that is away. */
function findNodes(
  bus: BusDevice | undefined,
  { isRdmaAway }: FunctionDevices,
  atHome: readonly RdmaNode[],
  search: () => Whereabouts,
): { nodes: RdmaNode[]; netns?: string; heldBy?: string } {
  if (!bus) return { nodes: [] };
  const here = atHome.filter(({ name }) => bus.rdmaDevices.includes(name));
  if (!isRdmaAway && !isAway(bus)) return { nodes: here };
  const away = search().rdmaNodesOf(bus.uverbs.map(({ name }) => name));
  const { netns = UNKNOWN, heldBy } = away[0] ?? {};
  const nodes = [...here, ...away.map(({ found }) => found)];
  return { nodes, netns, ...(heldBy === undefined ? {} : { heldBy }) };
}

function whyNotReady(
  vf: Pick<VfStatus, "driver" | "adminMac" | "hasRandomMac">,
  pf: PhysicalFunction,
  nodes: readonly RdmaNode[],
  isRdmaAway: boolean,
): string | undefined {
  if (vf.driver === undefined) return "no driver is bound";
  if (isForVirtualMachines(vf.driver)) return `bound to ${vf.driver}, for virtual machines`;
  if (!pf.isInfiniBand) {
    if (vf.adminMac === NO_MAC) return "no administrative MAC address";
    if (vf.hasRandomMac) return "random MAC address";
  }
  if (nodes.length === 0 && !isRdmaAway) return NO_RDMA_DEVICE;
  const guids = nodes.map(({ nodeGuid }) => nodeGuid);
  if (guids.includes(0n)) return "node GUID is zero";
  if (!pf.isInfiniBand && guids.some((guid) => !fitsMac(guid, vf.adminMac, vf.driver))) {
    return "node GUID does not fit the MAC address";
  }
  return undefined;
}
